/** The options of `tfjs-owlore finetune`, and which of them go together. */
import {floatTypes, type FloatType} from '../files/float_type';
import {layerSamplingDefaults, layerSamplingOptions} from '../owlore/sampling/options';
import {loraDefaults, loraOptions} from '../lora/lora_options';
import {
  needsScores,
  paperMethodNames,
  paperMethods,
  trainsRest,
  type MethodParts,
  type PaperMethodName,
} from '../methods';
import {display} from '../common/options';
import {basisNames, owloreOptions} from '../owlore/optimizer/options';
import {updateRules} from '../owlore/optimizer/rules';
import {paperInterval} from '../owlore/sampling/periods';
import {samplers, type SamplerName} from '../owlore/sampling/samplers';
import {scoreKinds, scoreNames as kindNames, type ScoreKind} from '../owlore/scores/score_kinds';
import {frozenDtypes} from '../llama/files/load_llama';
import {learningRates, schedules} from '../training_defaults';
import {isAdapterFolder} from './adapter';
import {dataOptions, tau} from './data_options';
import {embeddingModes, type EmbeddingMode} from '../memory/estimate/embedding_mode';
import {modelOptions} from './model_options';
import {
  choice,
  fileOrUrl,
  flag,
  flagOf,
  flagOrNumber,
  folder,
  group,
  isThere,
  libraryOption,
  number,
  onlyOnCommandLine,
  outputFolder,
  program,
  required,
  text,
  type Given,
  type OptionDescription,
  type SettingsOf,
} from './options';
import {UsageError} from './usage_error';

const scheduleNames = Object.keys(schedules) as Array<keyof typeof schedules>;

/** What may train the model. */
const engineNames = ['tfjs', 'torch'] as const;
type EngineName = (typeof engineNames)[number];

const count = {integer: true, min: 1};
const positive = {exclusiveMin: 0};

/** What `--scores` may name; anything else is the path of a file of scores. */
export const scoreNames: readonly string[] = [...kindNames, 'uniform'];

const rates = Object.entries(learningRates)
  .map((each) => each.join(' '))
  .join(', ');

/** The γ of each method that has one: `owlore 5, lisa 2`. */
const gammas = Object.entries<MethodParts>(paperMethods)
  .flatMap(([name, {sampling}]) => (sampling ? [`${name} ${sampling.gamma}`] : []))
  .join(', ');

const scores: OptionDescription<string> = {
  ...text(
    `scores of the blocks, by which some train more often: ${scoreNames.join(', ')}, or a file`,
    '<name|file>',
  ),
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
    output: required(outputFolder('the folder that the run makes: its model, log and report'), {
      unless: 'dryRun',
    }),
    dryRun: onlyOnCommandLine(
      flag(
        'say what the run would train on and what it would take, and which --max-length to take; read no weights, write nothing',
      ),
    ),
    resume: onlyOnCommandLine(
      folder('go on with the stopped run in this folder, with its options'),
    ),
    overwrite: onlyOnCommandLine(flag('replace an earlier run in the folder of --output')),
    force: onlyOnCommandLine(
      flag('begin or go on even if memory or disk cannot suffice, or the data have changed'),
    ),
    dtype: choice<FloatType>(
      'number type of the weights that are saved (default: BF16 for a model that has it, unless that costs held-out loss; otherwise F32)',
      floatTypes,
    ),
    saveEvery: number(
      'steps between checkpoints, from which a killed run can go on; 0: one only when the run is stopped (default: a tenth of the run)',
      {integer: true, min: 0},
    ),
    seed: libraryOption(
      'of all that is random: the same seed gives the same run',
      layerSamplingOptions.seed,
    ),
  }),
  ...group('Method', {
    method: choice<PaperMethodName, 'owlore'>('method of fine-tuning', paperMethodNames, 'owlore'),
    embedding: choice<EmbeddingMode, 'full'>(
      'how embedding and head train; low-rank: by low-rank updates, in less memory',
      embeddingModes,
      'full',
    ),
  }),
  ...group('Which blocks train', {
    scores,
    tau,
    gamma: libraryOption(
      `blocks that train at the same time (default: ${gammas})`,
      layerSamplingOptions.gamma,
      {default: undefined},
    ),
    interval: libraryOption('steps until other blocks are drawn', layerSamplingOptions.interval, {
      default: paperInterval,
    }),
    sampler: libraryOption(
      'how blocks are drawn; permutation: each once before one comes again (default: exact; with badam permutation)',
      layerSamplingOptions.sampler,
      {default: undefined},
    ),
    floor: libraryOption(
      'part of the probability that is the same for all blocks, whatever their scores',
      layerSamplingOptions.floor,
    ),
  }),
  ...group('Low-rank updates', {
    rank: libraryOption(
      `rank of low-rank updates; with lora of its matrices A and B, by default ${loraDefaults.rank}`,
      owloreOptions.rank,
    ),
    refreshInterval: libraryOption(
      'steps until the subspace of a low-rank update is chosen anew',
      owloreOptions.refreshInterval,
    ),
    basis: libraryOption(
      'how the subspace is computed; svd: exactly, for small models',
      // a function of the user's has no place here
      {...owloreOptions.basis, check: basisNames},
    ),
    update: libraryOption(
      'rule of low-rank updates, by the paper that it is from',
      owloreOptions.update,
    ),
    moments: libraryOption(
      "what happens to Adam's moments when the subspace is chosen anew",
      owloreOptions.moments,
    ),
  }),
  ...group('LoRA', {
    loraAlpha: libraryOption(
      'the product of A and B is multiplied by alpha / rank',
      loraOptions.alpha,
    ),
    loraDropout: libraryOption(
      'probability with which an input of A is dropped in training',
      loraOptions.dropout,
    ),
    targets: {
      ...text(
        'matrices that are adapted: names such as q_proj,v_proj, or attention, mlp, all-linear',
        '<names>',
      ),
      default: String(loraDefaults.targets),
    },
  }),
  ...group('Training', {
    epochs: number('passes over the data', {...positive, default: 1}),
    steps: number('steps of training, in place of epochs', count),
    accumulate: libraryOption(
      'batches whose gradients are averaged for each step',
      owloreOptions.accumulate,
    ),
    learningRate: number(`the highest learning rate (default: of the method; ${rates})`, positive),
    embeddingRate: number('learning rate of embedding and head, as a multiple of --learning-rate', {
      ...{...positive, default: 1},
    }),
    schedule: choice(
      'learning-rate schedule after the warm-up: how it falls to 0, or stays',
      scheduleNames,
      'linear',
    ),
    warmup: number('steps in which the learning rate rises to its highest', {
      ...{integer: true, min: 0, default: 0},
    }),
    weightDecay: libraryOption(
      'decoupled weight decay, as AdamW has it',
      owloreOptions.weightDecay,
    ),
    clipNorm: libraryOption(
      "largest norm of a step's gradients (default: no limit)",
      owloreOptions.clipNorm,
      {default: undefined},
    ),
    nonFinite: libraryOption(
      'at a NaN or infinite gradient: end with an error, skip the step, skip it and halve the learning rate, or go on',
      owloreOptions.nonFinite,
    ),
    gradientCheckpointing: libraryOption(
      'compute activations again in the backward pass, to save memory: where it pays, of all blocks, or never',
      owloreOptions.gradientCheckpointing,
    ),
    frozenDtype: choice<'F32' | 'BF16', 'F32'>(
      'number type of matrices while they do not train; BF16 takes half of the memory',
      frozenDtypes,
      'F32',
    ),
  }),
  ...group('Engine', {
    engine: choice<EngineName, 'tfjs'>(
      'what trains: TensorFlow.js in this process, or PyTorch in others',
      engineNames,
      'tfjs',
    ),
    python: program('a Python that has PyTorch (default: python3)'),
    processes: number(
      'processes of PyTorch that train together (default: one for each GPU, or 1)',
      count,
    ),
    parallel: choice<'ddp' | 'fsdp', 'ddp'>(
      'whether each process has the whole model (ddp) or a part of it (fsdp)',
      ['ddp', 'fsdp'],
      'ddp',
    ),
  }),
  ...group('Data', {
    data: required(fileOrUrl('examples to train on: jsonl, a json array, csv, tsv or plain text')),
    validation: fileOrUrl(
      'held-out examples, whose loss is measured (default: a part of the data)',
    ),
    validationSplit: number(
      'part of the data that is held out, without --validation; at most 500 examples',
      {
        ...{exclusiveMin: 0, exclusiveMax: 1, default: 0.05},
      },
    ),
    evaluateEvery: number('steps between held-out losses (default: a tenth of the run)', count),
    keepBest: flagOrNumber(
      'save the model with the lowest held-out loss, not the last one; with a number, end after so many losses without a lower one',
      'patience',
      count,
    ),
    ...dataOptions,
  }),
};

export type FinetuneSettings = SettingsOf<typeof finetuneOptions>;

/** The options that have no effect in a run with these settings, each with the reason. */
export function meaningless(all: FinetuneSettings): Record<string, string> {
  const {model, adapter} = all;
  // which an adapter goes on with; of one on the Hub that is given as the model nobody knows yet
  const goesOn = adapter !== undefined || (model !== undefined && isAdapterFolder(model));
  const settings = goesOn ? {...all, method: 'lora' as const} : all;
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
    ...(sampling === null && {gamma: byMethod, interval: byMethod, sampler: byMethod}),
    ...(sampling === null && !lora && {frozenDtype: byMethod}),
    ...(!drawsByScores(settings) && {
      ...{scores: bySampler, tau: bySampler, floor: bySampler},
    }),
    ...(!needsScores(sampling) && {scores: byMethod, tau: byMethod}),
    ...(steps !== undefined && {epochs: '--steps'}),
    ...(validation !== undefined && {validationSplit: '--validation'}),
    ...(engine !== 'torch' && Object.fromEntries(torchOptions.map((name) => [name, byEngine]))),
  };
}

/** Options of which one stands in the place of the other. */
export const alternatives: ReadonlyArray<readonly string[]> = [
  ['epochs', 'steps'],
  ['validation', 'validationSplit'],
];

/** The options of the engine torch. */
const torchOptions: readonly string[] = ['python', 'processes', 'parallel'];
/** The options that may stand beside `--resume`: they change nothing of the training. */
const resumeOptions: readonly string[] = ['resume', 'engine', 'dtype', 'force', ...torchOptions];

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
    if (resume === undefined || resumeOptions.includes(name) || !isFlag) continue;
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
