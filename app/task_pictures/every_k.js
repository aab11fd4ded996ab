// What the groupings of every k follow from, kept for the pictures of them. It has nothing to see.

export default function ({ data }) {
  const { of, at, values } = read(data);
  let from = 0;
  const groupings = new Map(at.map((one) => {
    const size = one.labels.length * one.k, distances = values.subarray(from, from + size);
    from += size;
    return [one.k, { ...one, distances }];
  }));
  keepSent(of, groupings);
}
