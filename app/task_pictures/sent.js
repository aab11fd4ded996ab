// What was sent once, by what a slider may say, kept for pictures. It has nothing to see.

export default function ({ data }) {
  const { of, each, values } = read(data);
  let from = 0;
  keepSent(of, new Map(each.map((one) => {
    from += one.size;
    return [one.at, { ...one, values: values.subarray(from - one.size, from) }];
  })));
}
