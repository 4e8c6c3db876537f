import type {Random} from '../../common/random';

/** Which part of a distribution over tokens is drawn from. */
export interface SamplingOptions {
  /** The logits are divided by it; 0: nothing is drawn. */
  temperature: number;
  /** Only this many most probable tokens may be drawn; null: all. */
  topK: number | null;
  /** The probability that the tokens to draw from must reach together; only as many as that takes may be drawn. */
  topP: number;
  /** The part of the largest probability that a token to draw must have. */
  minP: number;
  /** What the logits of tokens are divided by that are in the text already; 1: nothing. */
  repetitionPenalty: number;
}

/**
 * Logits in which tokens that are in the text already are penalized, as in Hugging Face's `generate`: each once, however often it is
 * there.
 *
 * @param ids The tokens.
 */
export function penalized(
  logits: ArrayLike<number>,
  ids: Iterable<number>,
  penalty: number,
): ArrayLike<number> {
  const changed = Float64Array.from(logits);
  for (const id of ids) {
    const logit = logits[id]!;
    const moved = logit < 0 ? logit * penalty : logit / penalty;
    // a penalty near 0 could make it infinite
    changed[id] = Math.min(Math.max(moved, -Number.MAX_VALUE), Number.MAX_VALUE);
  }
  return changed;
}

/**
 * The probabilities with which the next token is drawn: `softmax(logits / temperature)` over the
 * `topK` most probable tokens, of these over as few as reach `topP` together (nucleus sampling,
 * Holtzman et al. 2020), and of these over those that reach `minP` of the largest, in this order, as in
 * Hugging Face's `generate`. Tokens of equal logits stay or go together.
 *
 * @param logits All finite.
 * @returns a probability for each logit, 0 for tokens that are left out; their sum is 1.
 */
export function tokenProbabilities(
  logits: ArrayLike<number>,
  {temperature, topK, topP, minP}: Omit<SamplingOptions, 'repetitionPenalty'>,
): Float64Array {
  const largest = largestOf(logits);
  const weights = new Float64Array(logits.length);
  for (let id = 0; id < weights.length; id++) {
    weights[id] = Math.exp((logits[id]! - largest) / temperature);
  }
  const isCut = (topK !== null && topK < weights.length) || topP < 1;
  if (isCut || minP > 0) {
    // the largest weight is 1
    const least = Math.max(minP, isCut ? leastWeight(weights, topK ?? weights.length, topP) : 0);
    for (let id = 0; id < weights.length; id++) if (weights[id]! < least) weights[id] = 0;
  }
  const total = sumOf(weights);
  return weights.map((weight) => weight / total);
}

/** Draws an index with the given probabilities; never one whose probability is 0. */
export function drawIndex(probabilities: ArrayLike<number>, random: Random): number {
  let left = random.next();
  let last = 0;
  for (let i = 0; i < probabilities.length; i++) {
    const probability = probabilities[i]!;
    if (probability === 0) continue;
    if (left < probability) return i;
    left -= probability;
    last = i;
  }
  return last; // the sum was less than 1 by rounding
}

/** The index of the largest number, of equal ones the first. */
export function largestIndex(numbers: ArrayLike<number>): number {
  let at = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i]! > numbers[at]!) at = i;
  return at;
}

function largestOf(numbers: ArrayLike<number>): number {
  return numbers[largestIndex(numbers)]!;
}

/** The weight of the least probable token that may be drawn. */
function leastWeight(weights: Float64Array, topK: number, topP: number): number {
  let atLeast = 0;
  let total = sumOf(weights);
  if (topK < weights.length) {
    atLeast = firstAnswer(weights, (largest) => largest[topK - 1])!;
    // tokens that tie for the last place are partly cut off there, and must count
    total = sumOf(weights.filter((weight) => weight >= atLeast));
  }
  if (topP === 1) return atLeast;
  const nucleusWeight = firstAnswer(weights, (largest) => {
    let sum = 0;
    return largest.find((weight) => (sum += weight) >= topP * total);
  });
  return Math.max(atLeast, nucleusWeight ?? 0);
}

/** Weights, of which the largest is 1, are sorted from these on if that is enough: to sort all takes longer than all else. */
const CUTS = [2 ** -8, 2 ** -16, 2 ** -32, 0];

/** What `ask` says of the largest weights in falling order, of as few as are enough for an answer. */
function firstAnswer(
  weights: Float64Array,
  ask: (largest: Float64Array) => number | undefined,
): number | undefined {
  for (const cut of CUTS) {
    const answer = ask(
      weights
        .filter((weight) => weight >= cut)
        .sort()
        .reverse(),
    );
    if (answer !== undefined) return answer;
  }
  return undefined;
}

function sumOf(numbers: Float64Array): number {
  let sum = 0;
  for (const number of numbers) sum += number;
  return sum;
}
