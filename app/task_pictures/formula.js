// What follows from the distances of tasks to centroids, as in stg_core/grouping/memberships.py and
// problems.py; a test holds both to the same numbers. Matrices (T, k) are row after row.

const SMALLEST = 2 ** -1022; // normal number: the logarithm of 0 is not finite
const ALIKE = 0.01, NOTHING = 1e-6; // see stg_core/grouping/problems.py

/** Memberships: softmax over clusters of −2/(m−1) · log d, whatever m > 1. */
function membershipsFrom(distances, k, fuzzifier) {
  const shares = new Float64Array(distances.length), steepness = -2 / (fuzzifier - 1);
  for (let row = 0; row < shares.length; row += k) {
    let most = -Infinity, sum = 0;
    for (let i = row; i < row + k; i += 1) {
      shares[i] = steepness * Math.log(Math.max(distances[i], SMALLEST));
      most = Math.max(most, shares[i]);
    }
    for (let i = row; i < row + k; i += 1) {
      shares[i] = Math.exp(shares[i] - most);
      sum += shares[i];
    }
    for (let i = row; i < row + k; i += 1) shares[i] /= sum;
  }
  return shares;
}

/** Memberships of tasks that belong to one cluster each, whose numbers are `labels`. */
function hardMemberships(labels, k) {
  const shares = new Float64Array(labels.length * k);
  labels.forEach((label, task) => (shares[task * k + label] = 1));
  return shares;
}

/** How clear-cut memberships are: 1/k is undecided, 1 is hard. */
function partitionCoefficient(shares, k) {
  return shares.reduce((sum, share) => sum + share * share, 0) / (shares.length / k);
}

/** Spread within clusters over distance between them, whose smallest square is `separation`. */
function xieBeni(shares, distances, k, fuzzifier, separation) {
  if (separation === null) return null;
  let spread = 0;
  for (let i = 0; i < shares.length; i += 1) spread += shares[i] ** fuzzifier * distances[i] ** 2;
  return spread / ((shares.length / k) * separation);
}

/** Whether every task has the same share, to 1 %, in two of the clusters. */
function someCoincide(shares, k) {
  const logs = shares.map((share) => Math.log(Math.max(share, NOTHING)));
  const alike = (a, b) => {
    for (let row = 0; row < logs.length; row += k) {
      if (Math.abs(logs[row + a] - logs[row + b]) > ALIKE) return false;
    }
    return true;
  };
  for (let a = 0; a < k; a += 1) {
    for (let b = a + 1; b < k; b += 1) if (alike(a, b)) return true;
  }
  return false;
}

/** Tasks by cluster, the surest first. */
function byCluster(shares, labels, k) {
  const surest = labels.map((_, task) => Math.max(...shares.subarray(task * k, (task + 1) * k)));
  return labels.map((_, task) => task)
    .sort((a, b) => labels[a] - labels[b] || surest[b] - surest[a] || a - b);
}

/** Mean over pairs a, b of some tasks of Σ_j min(W[a,j], W[b,j]); null for a single task. */
function coherence(tasks, shares, k) {
  const n = tasks.length;
  if (n < 2) return null;
  let sum = 0;
  for (let j = 0; j < k; j += 1) {
    const column = tasks.map((task) => shares[task * k + j]).sort((a, b) => a - b);
    // in ascending order, each share is the smaller one in its pairs with all that follow
    column.forEach((share, i) => (sum += share * (n - 1 - i)));
  }
  return Math.min(1, sum / ((n * (n - 1)) / 2));
}
