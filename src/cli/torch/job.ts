/** What is handed to Python: the run as plain JSON. python/owlore reads it; python/README.md describes it. */
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import type {Manifest} from '../../checkpoint/manifest';
import type {LayerWeights} from '../../checkpoint/parts';
import {configOfModel} from '../../llama/files/model_config';
import {pick} from '../../llama/pick';
import {namedWeights} from '../../llama/files/weights';
import {resolveBlocks} from '../../model/blocks';
import {selects} from '../../model/variable_selector';
import {
  basisNames,
  owloreDefaults,
  owloreOptionsFromConfig,
  resolveOwLoreOptions,
  type OwLoreOptions,
  type ResolvedOwLoreOptions,
} from '../../owlore/optimizer/options';
import {Projections, type Projection} from '../../owlore/optimizer/state/projector';
import {learningRateAt} from '../../owlore/optimizer/schedule';
import type {BlockHistory} from '../../owlore/sampling/periods';
import type {EngineRun} from '../engine';
import {UsageError} from '../usage_error';
import type {BatchesFile} from './batches_file';

/** A weight of the model. */
interface JobWeight {
  /** Its name in tfjs. */
  variable: string;
  /** Its name in transformers. */
  tensor: string;
  /** Whether a kernel is [in, out] in tfjs, and [out, in] there. */
  transposed: boolean;
  block: string | null;
  /** Whether it is ever trained. */
  trains: boolean;
  /** As in tfjs. */
  projection: Pick<Projection, 'rank' | 'side'> | null;
  weightDecay: number;
  /** What the learning rate is multiplied by. */
  rateFactor: number;
}

/** The contents of job.json. */
export interface Job {
  format: 'tfjs-owlore torch job';
  version: 1;
  /** The folder of the model. */
  model: string;
  /** Where weights and states of checkpoints go. */
  checkpoints: string;
  steps: number;
  evaluateEvery: number;
  saveEvery: number | null;
  /** Whether there is a checkpoint after each held-out loss that is lower than all after a step before it. */
  keepBest: boolean;
  /** The training ends when so many in a row were not lower; null: when its steps are made. */
  patience: number | null;
  parallel: 'ddp' | 'fsdp';
  /** Whether activations of blocks are computed again in the backward pass. */
  recompute: boolean;
  optimizer: OptimizerOfJob;
  blocks: string[];
  /** Whether weights of no block train. */
  alwaysOn: boolean;
  /** Which blocks are on in each period of the whole run; null: all. */
  blockHistory: Pick<BlockHistory, 'interval' | 'periods'> | null;
  weights: JobWeight[];
  /** In the order of the model. */
  layers: Array<{layer: string; weights: string[]}>;
  data: BatchesFile & {file: string};
  heldOut: BatchesFile & {file: string};
  /** Where it begins: the step, how many of its batches are done and the sum of their losses, and the step of the last held-out loss. */
  start: {
    step: number;
    calls: number;
    /** JSON has null for a sum that is not finite. */
    lossSum: number | null;
    stateBytes: number;
    heldOutAt: number | null;
    /** Of those after a step the lowest, if one is finite, and how many after it were not lower. */
    lowest: number | null;
    notLower: number;
  };
  /** The checkpoint that it goes on from. */
  resume: Pick<Manifest, 'model' | 'optimizer'> | null;
}

/**
 * What Python makes of each option of the optimizer. It `reads` some from the job. Of others it `knows` the effect, if there is one, by
 * other parts of the job. Of the rest it has what is the default.
 */
const inPython = {
  ...{beta1: 'reads', beta2: 'reads', epsilon: 'reads', scale: 'reads', refreshInterval: 'reads'},
  ...{basis: 'reads', clipNorm: 'reads', nonFinite: 'reads', accumulate: 'reads'},
  ...{learningRate: 'knows', learningRates: 'knows', weightDecay: 'knows', project: 'knows'},
  ...{rank: 'knows', side: 'knows', gradientCheckpointing: 'knows', kernels: 'knows'},
  ...{decay: 'default', update: 'default', moments: 'default', state: 'default'},
} as const satisfies Record<keyof ResolvedOwLoreOptions, 'reads' | 'knows' | 'default'>;

type OptionName = keyof typeof inPython;
const optionNames = Object.keys(inPython) as OptionName[];

/** The options of the optimizer of which Python has the default alone. */
export const defaultInPython: readonly string[] = optionNames.filter(
  (name) => inPython[name] === 'default',
);

/** Of options that Python reads, which values it has. */
const POSSIBLE: Partial<Record<OptionName, (value: unknown) => boolean>> = {
  scale: (value) => typeof value === 'number',
  basis: (value) => (basisNames as readonly unknown[]).includes(value),
};

type Read = {
  [Name in OptionName]: (typeof inPython)[Name] extends 'reads' ? Name : never;
}[OptionName];

/** Options of the optimizer, with the learning rate of every step. */
type OptimizerOfJob = Pick<ResolvedOwLoreOptions, Read> & {stepRates: number[]};

/**
 * The options of an optimizer for a job.
 *
 * @throws UsageError for an option that Python does not have.
 */
export function optimizerOfJob(settings: OwLoreOptions, steps: number): OptimizerOfJob {
  const options = settings as ResolvedOwLoreOptions;
  for (const name of optionNames) {
    const value: unknown = options[name];
    const isPossible =
      inPython[name] === 'default'
        ? value === owloreDefaults[name]
        : (POSSIBLE[name]?.(value) ?? true);
    if (isPossible) continue;
    throw new UsageError(
      `finetune: --engine torch does not have ${name}: ${JSON.stringify(value)} of the optimizer; use --engine tfjs`,
    );
  }
  const read = optionNames.filter((name): name is Read => inPython[name] === 'reads');
  const stepRates = Array.from({length: steps}, (_, i) => learningRateAt(options.learningRate, i));
  return {...pick(options, read), stepRates};
}

/** The weights of the model, and how each is trained. */
export function weightsOfJob(
  {model, optimizer, callback}: Pick<EngineRun, 'model' | 'optimizer' | 'callback'>,
  layers: readonly LayerWeights[],
): JobWeight[] {
  // with selectors as such, which settings have in words
  const options = resolveOwLoreOptions(owloreOptionsFromConfig(optimizer.getConfig()));
  const {project, rank, side, weightDecay, learningRates} = options;
  const projections = new Projections({project, rank, side});
  const blocks = resolveBlocks(model);
  const blockOf = new Map(blocks.flatMap(({name, weights}) => weights.map((w) => [w, name])));
  const trained = new Set(model.trainableWeights);
  const areIn = [...blockOf.keys()].filter((weight) => trained.has(weight));
  // as a callback tells an optimizer
  projections.setBlocks(callback ? new Set(areIn.map(({name}) => name)) : null);
  const named = new Map(
    namedWeights(model, configOfModel('finetune', model)).map((weight) => [
      weight.variable,
      weight,
    ]),
  );
  return layers.flatMap(({weights}) =>
    weights.map((weight: LayerVariable): JobWeight => {
      const {name: tensor, transposed} = named.get(weight)!;
      const shape = weight.shape as number[];
      const projection = projections.of({name: weight.name, shape});
      return {
        ...{variable: weight.name, tensor, transposed, block: blockOf.get(weight) ?? null},
        trains: trained.has(weight),
        projection: projection && {rank: projection.rank, side: projection.side},
        weightDecay: shape.length >= 2 ? weightDecay : 0,
        rateFactor:
          learningRates?.find(({variables}) => selects(variables, {name: weight.name, shape}))
            ?.factor ?? 1,
      };
    }),
  );
}
