import type {UpdateRule} from './rule';

/** GaLore, and OwLore: W ← W − η·α·P·N (Zhao et al. 2024, Alg. 2). */
export const galore: UpdateRule = {
  needsWholeGradient: false,
  scalesDirections: true,
  change: ({n, toSpace}) => toSpace(n),
};
