import {presetScores, type PresetName} from './presets';
import {
  samplingProbabilities,
  type SamplingProbabilities,
  type SamplingProbabilityOptions,
} from './probabilities';
import {readScores, type ScoresInput} from '../scores/scores';

const owner = 'LayerSamplingCallback';

/** The sampling probabilities of a model's blocks from scores, which must be those blocks'. */
export function probabilitiesFromScores(
  scores: ScoresInput | PresetName,
  blocks: readonly string[],
  options: SamplingProbabilityOptions,
): SamplingProbabilities {
  if (typeof scores === 'string') {
    const preset = presetScores(scores, blocks.length);
    return samplingProbabilities({scores: preset, blocks}, options);
  }
  const {values, blocks: names} = readScores(scores, owner);
  return samplingProbabilities({scores: inOrder('scores', values, names, blocks), blocks}, options);
}

/** Given probabilities as those of a model's blocks. */
export function probabilitiesAsGiven(
  given: readonly number[] | SamplingProbabilities,
  blocks: readonly string[],
): SamplingProbabilities {
  const isResult = 'probabilities' in given;
  const values = isResult ? given.probabilities : given;
  const names = isResult ? given.blocks : undefined;
  const probabilities = inOrder('probabilities', values, names, blocks);
  const gamma = nearInteger(probabilities.reduce((sum, p) => sum + p, 0));
  if (!probabilities.every((p) => p >= 0 && p <= 1) || gamma === 0) {
    throw new Error(
      `${owner}: probabilities must be numbers >= 0 and <= 1, not all 0; got [${probabilities.join(', ')}]`,
    );
  }
  const shares = probabilities.map((p) => p / gamma);
  return {blocks: [...blocks], probabilities, shares, gamma, method: 'clip', floor: 0};
}

/** `values` in the order of the model's blocks; throws if they are for other blocks. */
export function inOrder(
  what: string,
  values: readonly number[],
  names: readonly string[] | undefined,
  blocks: readonly string[],
): number[] {
  if (values.length !== blocks.length) {
    throw new Error(
      `${owner}: ${what} are for ${values.length} blocks, the model has ${blocks.length} (${blocks.join(', ')}); ` +
        'compute them with the same model and the same blocks option',
    );
  }
  if (!names) return [...values];
  const missing = blocks.find((block) => !names.includes(block));
  if (missing !== undefined) {
    throw new Error(
      `${owner}: ${what} have no block '${missing}'; they are for ${names.join(', ')}, the model has ` +
        `${blocks.join(', ')}; compute them with the same model and the same blocks option`,
    );
  }
  return blocks.map((block) => values[names.indexOf(block)]!);
}

/** The integer that a sum means where only rounding keeps it from one. */
function nearInteger(sum: number): number {
  return Math.abs(sum - Math.round(sum)) < 1e-9 ? Math.round(sum) : sum;
}
