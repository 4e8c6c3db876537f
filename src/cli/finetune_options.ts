/** The options of `tfjs-owlore finetune`, and which of them go together. */
import {floatTypes, type FloatType} from '../files/float_type';
import {layerSamplingDefaults} from '../layer_sampling_options';
import {loraDefaults} from '../lora/lora_options';
import {
  needsScores,
  paperMethodNames,
  paperMethods,
  trainsRest,
  type MethodParts,
  type PaperMethodName,
} from '../methods';
import {display, seedRange} from '../options';
import {
  momentsKinds,
  nonFiniteActions,
  owloreDefaults,
  type ResolvedOwLoreOptions,
} from '../optim/owlore_options';
import {updateNames, updateRules} from '../optim/rules';
import {cosineDecay, linearDecay, type Schedule} from '../optim/schedule';
import {paperInterval} from '../sampling/periods';
import {samplerNames, samplers, type SamplerName} from '../sampling/samplers';
import {scoreKinds, scoreNames as kindNames, type ScoreKind} from '../scores/score_kinds';
import {gradientCheckpointingChoices, type GradientCheckpointing} from '../tape/recompute_layers';
import {frozenDtypes} from '../llama/files/load_llama';
import {dataOptions, tau} from './data_options';
import {embeddingModes, type EmbeddingMode} from '../estimate/options';
import {modelOptions} from './model_options';
import {
  choice,
  fileOrUrl,
  flag,
  flagOf,
  folder,
  group,
  isThere,
  number,
  ofCommandLine,
  outputFolder,
  program,
  required,
  text,
  type Given,
  type OptionDescription,
  type SettingsOf,
} from './options';
import {UsageError} from './usage_error';

/** How the learning rate goes on after the warm-up. */
export const schedules = {
  linear: linearDecay,
  cosine: cosineDecay,
  constant: (learningRate: number) => learningRate,
} satisfies Record<string, (learningRate: number, steps: number) => number | Schedule>;
const scheduleNames = Object.keys(schedules) as Array<keyof typeof schedules>;

/** What may train the model. */
const engineNames = ['tfjs', 'torch'] as const;
type EngineName = (typeof engineNames)[number];

type NonFinite = ResolvedOwLoreOptions['nonFinite'];
type Update = ResolvedOwLoreOptions['update'];
type Moments = ResolvedOwLoreOptions['moments'];

const count = {integer: true, min: 1};
const positive = {exclusiveMin: 0};

/** What `--scores` may name; anything else is the path of a file of scores. */
export const scoreNames: readonly string[] = [...kindNames, 'uniform'];

/** The γ of each method that has one: `owlore 5, lisa 2`. */
const gammas = Object.entries<MethodParts>(paperMethods)
  .flatMap(([name, {sampling}]) => (sampling ? [`${name} ${sampling.gamma}`] : []))
  .join(', ');

const scores: OptionDescription<string> = {
  ...text(`what draws the blocks: ${scoreNames.join(', ')}, or a file of scores`, '<name|file>'),
  default: 'outlier',
  check(owner, name, value) {
    if (typeof value === 'string') {
      // not a pipe, whose writer may never come
      if (scoreNames.includes(value) || isThere('file', value)) return;
    }
    throw new Error(
      `${owner}: ${name} must be ${scoreNames.join(', ')} or a file that is there; got ${display(value)}`,
    );
  },
};

export const finetuneOptions = {
  ...modelOptions,
  ...group('Run', {
    output: required(outputFolder('the folder of the run')),
    resume: ofCommandLine(folder('go on with the run in this folder, with its options')),
    overwrite: ofCommandLine(flag('replace an earlier run in that folder')),
    force: ofCommandLine(
      flag(
        'begin or go on even if memory or disk cannot suffice, or the data are not those of the run',
      ),
    ),
    dtype: choice<FloatType, 'F32'>('how the weights of the model are saved', floatTypes, 'F32'),
    saveEvery: number(
      'steps between checkpoints, of which one more is at the end; 0: one only when the run is stopped (default: a tenth of the run)',
      {integer: true, min: 0},
    ),
    keep: number('how many of the newest checkpoints stay', {...count, default: 2}),
    seed: number('the same seed gives the same run', {
      ...{...seedRange, default: layerSamplingDefaults.seed},
    }),
  }),
  ...group('Method', {
    method: choice<PaperMethodName, 'owlore'>('how to fine-tune', paperMethodNames, 'owlore'),
    scores,
    tau,
    gamma: number(`blocks that train at a time (default: ${gammas})`, positive),
    interval: number('steps between draws of blocks', {
      ...{...count, default: paperInterval},
    }),
    sampler: choice<SamplerName>(
      'how they are drawn: by their scores, by chance (exact, bernoulli, choice); or each as often as any other, all before one comes ' +
        'again (default: exact; of badam permutation)',
      samplerNames,
    ),
    floor: number('part of the draws that is the same for all blocks, whatever their scores', {
      ...{min: 0, max: 1, default: layerSamplingDefaults.floor},
    }),
    rank: number(
      `rank of the updates of matrices whose dimensions are both above it; of lora the rank of A and B (default there: ${loraDefaults.rank})`,
      {...count, default: owloreDefaults.rank},
    ),
    refreshInterval: number('steps of a matrix between refreshes of its basis', {
      ...{...count, default: owloreDefaults.refreshInterval},
    }),
    basis: choice<'randomized' | 'svd', 'randomized'>(
      'how a basis is computed; svd: exactly, for small models',
      ['randomized', 'svd'],
      'randomized',
    ),
    update: choice<Update, Update>(
      'how low-rank matrices move: in their subspace alone, or as these other papers have it',
      updateNames,
      owloreDefaults.update,
    ),
    moments: choice<Moments, Moments>(
      'what a refresh does to the averages of Adam: keep, rotate into the new basis, reset',
      momentsKinds,
      owloreDefaults.moments,
    ),
    loraAlpha: number('of lora: α; the product A B is multiplied by α / rank', {
      ...{...positive, default: loraDefaults.alpha},
    }),
    loraDropout: number('of lora: the probability with which an input of A is 0 in training', {
      ...{min: 0, exclusiveMax: 1, default: loraDefaults.dropout},
    }),
    targets: {
      ...text(
        'of lora: the matrices, by names such as q_proj,v_proj, or attention, mlp, all-linear',
        '<names>',
      ),
      default: String(loraDefaults.targets),
    },
    embedding: choice<EmbeddingMode, 'full'>(
      'how embedding and head train; low-rank: as the matrices of blocks with owlore, in less memory',
      embeddingModes,
      'full',
    ),
  }),
  ...group('Training', {
    epochs: number('passes over the data', {...positive, default: 1}),
    steps: number('steps of training, in place of epochs', count),
    accumulate: number('batches whose gradients are averaged into a step', {
      ...{...count, default: owloreDefaults.accumulate},
    }),
    learningRate: number('the highest learning rate', {...positive, default: 3e-4}),
    embeddingRate: number('learning rate of embedding and head, as a multiple of that', {
      ...{...positive, default: 1},
    }),
    normRate: number('learning rate of the norms, as a multiple of that', {
      ...{...positive, default: 1},
    }),
    schedule: choice('how the learning rate falls to 0, if it does', scheduleNames, 'linear'),
    warmup: number('steps over which the learning rate rises first', {
      ...{integer: true, min: 0, default: 0},
    }),
    weightDecay: number('decoupled weight decay', {min: 0, default: owloreDefaults.weightDecay}),
    clipNorm: number("largest norm of a step's gradients (default: no limit)", positive),
    normGrowth: number(
      'most that this norm may be times that of the step before, such as 1.01 (default: no limit)',
      {exclusiveMin: 1},
    ),
    nonFinite: choice<NonFinite, NonFinite>(
      'what is done at a NaN or infinite gradient; skip: that step changes nothing; halve: nor does it, and the learning rate is halved',
      nonFiniteActions,
      owloreDefaults.nonFinite,
    ),
    checkpoint: choice<GradientCheckpointing, GradientCheckpointing>(
      'what the backward pass computes again, which saves memory',
      gradientCheckpointingChoices,
      owloreDefaults.gradientCheckpointing,
    ),
    frozen: choice<'F32' | 'BF16', 'F32'>(
      'how matrices are kept while they do not train; BF16: in half of the memory',
      frozenDtypes,
      'F32',
    ),
  }),
  ...group('Engine', {
    engine: choice<EngineName, 'tfjs'>(
      'what trains; torch: PyTorch, in processes of their own',
      engineNames,
      'tfjs',
    ),
    python: program('of torch: a Python that has it (default: python3)'),
    processes: number('of torch: how many train together (default: one for each GPU, or 1)', count),
    parallel: choice<'ddp' | 'fsdp', 'ddp'>(
      'of torch: whether each process has the whole model, or a part',
      ['ddp', 'fsdp'],
      'ddp',
    ),
  }),
  ...group('Data', {
    data: required(fileOrUrl('examples to train on, jsonl or a json array')),
    validation: fileOrUrl('held-out examples (default: a part of the data)'),
    validationSplit: number('part of the data that is held out, without --validation', {
      ...{exclusiveMin: 0, exclusiveMax: 1, default: 0.05},
    }),
    evaluateEvery: number('steps between held-out losses (default: a tenth of the run)', count),
    ...dataOptions,
  }),
};

export type FinetuneSettings = SettingsOf<typeof finetuneOptions>;

/** The options that have no effect in a run with these settings, each with the reason. */
export function meaningless(settings: FinetuneSettings): Record<string, string> {
  const {method, scores, steps, validation, embedding, engine, update} = settings;
  const {lowRank, sampling, lora}: MethodParts = paperMethods[method];
  const [byMethod, byEngine] = [`--method ${method}`, `--engine ${engine}`];
  const bySampler = settings.sampler === undefined ? byMethod : `--sampler ${settings.sampler}`;
  const hasTau =
    Object.hasOwn(scoreKinds, scores) && scoreKinds[scores as ScoreKind].options.includes('tau');
  const projects = lowRank || embedding === 'low-rank';
  return {
    ...(!hasTau && {tau: `--scores ${scores}`}),
    ...(!projects && !lora && {rank: byMethod}),
    ...(!projects && {
      ...{refreshInterval: byMethod, basis: byMethod},
      ...{update: byMethod, moments: byMethod},
    }),
    ...(updateRules[update].basis && {basis: `--update ${update}`}),
    ...(!lora && {loraAlpha: byMethod, loraDropout: byMethod, targets: byMethod}),
    ...(!trainsRest(method) && {
      embedding: `${byMethod}, which trains ${lora ? 'no weight of the model' : 'blocks alone'}`,
    }),
    ...((!trainsRest(method) || embedding === 'frozen') && {
      embeddingRate: embedding === 'frozen' ? '--embedding frozen' : byMethod,
    }),
    ...(lora && {normRate: byMethod}),
    ...(sampling === null && {gamma: byMethod, interval: byMethod, sampler: byMethod}),
    ...(sampling === null && !lora && {frozen: byMethod}),
    ...(!drawsByScores(settings) && {
      ...{scores: bySampler, tau: bySampler, floor: bySampler},
    }),
    ...(!needsScores(sampling) && {scores: byMethod, tau: byMethod}),
    ...(steps !== undefined && {epochs: '--steps'}),
    ...(validation !== undefined && {validationSplit: '--validation'}),
    ...(engine !== 'torch' && Object.fromEntries(ofTorch.map((name) => [name, byEngine]))),
  };
}

/** Options of which one stands in the place of the other. */
export const alternatives: ReadonlyArray<readonly string[]> = [
  ['epochs', 'steps'],
  ['validation', 'validationSplit'],
];

/** The options of the engine torch. */
const ofTorch: readonly string[] = ['python', 'processes', 'parallel'];
/** The options that may stand beside `--resume`: they change nothing of the training. */
const ofResume: readonly string[] = ['resume', 'engine', 'dtype', 'force', ...ofTorch];

/** How the blocks are drawn, in a method that draws some. */
export function samplerOf({
  method,
  sampler,
}: Pick<FinetuneSettings, 'method' | 'sampler'>): SamplerName {
  const {sampling}: MethodParts = paperMethods[method];
  return sampler ?? sampling?.sampler ?? layerSamplingDefaults.sampler;
}

/** Whether blocks are drawn by their scores, if only by equal ones. */
export function drawsByScores(settings: Pick<FinetuneSettings, 'method' | 'sampler'>): boolean {
  const {sampling}: MethodParts = paperMethods[settings.method];
  return sampling !== null && samplers[samplerOf(settings)].usesScores;
}

/** @throws UsageError for options that do not go together. */
export function checkTogether(settings: FinetuneSettings, given: Given): void {
  const {resume, method, gamma} = settings;
  for (const [name, called] of given) {
    const isFlag = called === `finetune: ${flagOf(name)}`;
    if (resume === undefined || ofResume.includes(name) || !isFlag) continue;
    throw new UsageError(
      `${called} has no meaning with --resume, which takes the options of the run`,
    );
  }
  const {sampling}: MethodParts = paperMethods[method];
  const {needsIntegerGamma} = samplers[samplerOf(settings)];
  if (sampling && needsIntegerGamma && gamma !== undefined && gamma % 1 !== 0) {
    const by =
      settings.sampler === undefined ? `--method ${method}` : `--sampler ${settings.sampler}`;
    throw new UsageError(`${given.get('gamma')} must be an integer with ${by}; got ${gamma}`);
  }
}

/** The options in effect, as a config file takes them, without those that have no effect, and those that it cannot have. */
export function configOf(settings: FinetuneSettings): Record<string, unknown> {
  const unused = meaningless(settings);
  return Object.fromEntries(
    Object.entries(settings).filter(
      ([name, value]) =>
        value !== undefined &&
        !(name in unused) &&
        !finetuneOptions[name as keyof FinetuneSettings].isOfCommandLine,
    ),
  );
}
