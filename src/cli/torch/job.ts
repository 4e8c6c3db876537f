/** What is handed to Python: the run as plain JSON. python/owlore reads it; python/README.md describes it. */
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import type {Manifest} from '../../checkpoint/manifest';
import type {LayerWeights} from '../../checkpoint/parts';
import {configOfModel} from '../../llama/files/model_config';
import {namedWeights} from '../../llama/files/weights';
import {resolveBlocks} from '../../model/blocks';
import {selects} from '../../model/variable_selector';
import {
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
  };
  /** The checkpoint that it goes on from. */
  resume: Pick<Manifest, 'model' | 'optimizer'> | null;
}

/** Options of the optimizer, with the learning rate of every step. */
type OptimizerOfJob = Pick<
  ResolvedOwLoreOptions,
  | 'beta1'
  | 'beta2'
  | 'epsilon'
  | 'scale'
  | 'refreshInterval'
  | 'basis'
  | 'clipNorm'
  | 'nonFinite'
  | 'accumulate'
> & {stepRates: number[]};

/** Of options that Python has, which values it has. */
const POSSIBLE = {
  scale: (value: unknown): boolean => value !== 'auto',
  basis: (value: unknown): boolean => value === 'randomized' || value === 'svd',
};

/** Options that have no effect there, or are told in another form. */
const TOLD_OTHERWISE: readonly string[] = [
  ...['learningRate', 'learningRates', 'weightDecay', 'project', 'rank', 'side'],
  ...['gradientCheckpointing', 'kernels'],
];

/**
 * The options of an optimizer for a job.
 *
 * @throws UsageError for an option that Python does not have.
 */
export function optimizerOfJob(settings: OwLoreOptions, steps: number): OptimizerOfJob {
  const {learningRate, ...options} = settings as ResolvedOwLoreOptions;
  const {beta1, beta2, epsilon, scale, refreshInterval, basis} = options;
  const {clipNorm, nonFinite, accumulate} = options;
  const told = {
    ...{beta1, beta2, epsilon, scale, refreshInterval, basis},
    ...{clipNorm, nonFinite, accumulate},
  };
  for (const [name, value] of Object.entries(options)) {
    const isKnown = name in told || TOLD_OTHERWISE.includes(name);
    // what is not in Python is not in the defaults either
    const isDefault = owloreDefaults[name as keyof typeof owloreDefaults] === value;
    const isPossible = POSSIBLE[name as keyof typeof POSSIBLE]?.(value) ?? true;
    if ((isKnown || isDefault) && isPossible) continue;
    throw new UsageError(
      `finetune: --engine torch does not have ${name}: ${JSON.stringify(value)} of the optimizer; use --engine tfjs`,
    );
  }
  const rates = Array.from({length: steps}, (_, step) => learningRateAt(learningRate, step));
  return {...told, stepRates: rates};
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
