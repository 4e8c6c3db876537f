import type {Figure} from '../results/figure';
import type {Findings} from '../results/store';

/** What the groups of `npm run bench -- performance` have in common. */

export interface GroupSettings {
  /** Whether all is so small that it takes seconds, to see that it runs; no figure means anything then. */
  tiny: boolean;
  /** Rounds of the interleaved run. Default: the group's own. */
  rounds?: number;
  /** The Python that has PyTorch, or would have it. */
  python: string;
  /** The folder of SmolLM2-135M-Instruct, if it is there. */
  model?: string;
}

/** What a group has found: figures, and what is behind them. */
export type GroupResult = Findings & {figures: Figure[]};

/** Measures one group. Each group runs in a process of its own, so it may load any backend. */
export type MeasureGroup = (settings: GroupSettings) => Promise<GroupResult>;
