/** Scores that need no calibration: the layer sampling of LISA (Pan et al., 2024) and its LISA-D variant. */

/** Names of the preset scores. */
export const presetNames = ['uniform', 'decreasing'] as const;

export type PresetName = (typeof presetNames)[number];

/**
 * Scores of `count` blocks, shallow to deep, for `samplingProbabilities`.
 *
 * - `'uniform'` (LISA): 1 each, so that every block has the probability γ/N.
 * - `'decreasing'` (LISA-D): N, N − 1, …, 1. The paper asks for probabilities that fall from shallow to
 *   deep and gives no numbers; this library chose a straight line.
 */
export function presetScores(preset: PresetName, count: number): number[] {
  return Array.from({length: count}, (_, i) => (preset === 'uniform' ? 1 : count - i));
}
