// A grouping as its pictures need it: what Python says of one, or what follows from k-means of every
// k for where the sliders are. `told` has names, shown, uncertain, k, fuzzifier, method, values (the
// memberships), labels, colours, palette, measures, and `every` where every k is sent: its name;
// `sliders` where they are not those of the page Grouping.

/** What of a grouping is moved by which slider: those of the lesson have names of their own. */
const slidersOf = ({ sliders }) =>
  Object.entries(sliders ?? { k: "k", fuzzifier: "fuzzifier" });

/** The same with what is said of it, and `follows`: whether it is what the sliders say. */
function grouped(told, alt = told.alt) {
  const wanted = { k: told.k, fuzzifier: told.fuzzifier };
  for (const [what, slider] of told.every ? slidersOf(told) : []) {
    wanted[what] = hand.says[slider] ?? told[what];
  }
  const as = wanted.k === told.k && wanted.fuzzifier === told.fuzzifier;
  const found = as ? null : groupingAt(told, wanted);
  const data = { ...told, ...found, follows: as || Boolean(found) };
  data.order = byCluster(data.values, data.labels, data.k);
  data.says = sharesInWords(data);
  data.file = `k${data.k}-m${data.fuzzifier.toFixed(2)}-${data.method}`;
  return { ...data, alt: alt && altOf(data, alt) };
}

function groupingAt(told, { k, fuzzifier }) {
  const at = hand.sent.get(told.every)?.get(k);
  if (!at) return null;
  const { labels, values: distances, inertia, separation } = at, hard = told.method === "hard";
  const values = hard ? hardMemberships(labels, k) : membershipsFrom(distances, k, fuzzifier);
  const nothing = at.nothing || (!hard && someCoincide(values, k));
  const quality = {
    inertia,
    silhouette: nothing ? null : at.silhouette,
    partition_coefficient: partitionCoefficient(values, k),
    xie_beni: nothing ? null : xieBeni(values, distances, k, fuzzifier, separation),
  };
  const colours = at.colours.map((index) => told.palette[index % told.palette.length]);
  return { k, fuzzifier, labels, values, colours, quality };
}

const whyUncertain = (data, i) => {
  const reason = data.uncertain[data.names[i]];
  return reason ? `; uncertain: ${reason}` : "";
};

/** Of each task its shares in its cluster and in the next. */
function sharesInWords(data) {
  const { k, values } = data;
  return data.names.map((name, i) => {
    let first = 0, second = -1;
    const share = (j) => values[i * k + j];
    for (let j = 1; j < k; j += 1) {
      if (share(j) > share(first)) [first, second] = [j, first];
      else if (second < 0 || share(j) > share(second)) second = j;
    }
    const then = second < 0 ? "" : `, then ${second + 1} with ${share(second).toFixed(2)}`;
    const own = `cluster ${first + 1} with ${share(first).toFixed(2)}`;
    return `${name}: ${own}${then}${whyUncertain(data, i)}`;
  });
}

const READ_OUT = 300, NAMED_EACH = 3; // tasks that are all named; of more the surest of each cluster

function altOf(data, alt) {
  const all = data.names.length <= READ_OUT, tasks = data.colours.map(() => []);
  for (const i of all ? data.names.keys() : data.order) tasks[data.labels[i]].push(i);
  const members = tasks.map((own, j) => {
    const named = own.slice(0, all ? own.length : NAMED_EACH).map((i) => nameOf(data, i)).join(", ");
    const more = own.length - NAMED_EACH;
    return `cluster ${j + 1}: ${named || "none"}${!all && more > 0 ? ` and ${more} more` : ""}`;
  });
  const told = `Each task belongs most to: ${members.join("; ")}.`;
  const heat = `Memberships: heatmap of the shares of ${data.names.length} tasks in ${data.k}`
    + ` clusters. ${told}`;
  return { ...alt, memberships: heat, map: alt.map && `${alt.map} ${told}` };
}

/** Lets a view of a grouping follow its sliders. */
const followSliders = (view) =>
  follow(view, (name) => slidersOf(view.told).some(([, slider]) => slider === name));
