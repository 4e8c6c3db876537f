/** The options of the demo and of its pre-training: their defaults, their checks, their help. */
import {fileURLToPath} from 'node:url';
import {Command, CommanderError} from 'commander';
import {backendNames, type BackendName} from '../src/cli/register_backend';
import {tau} from '../src/cli/data_options';
import {
  addOptions,
  choice,
  number,
  outputFile,
  readSettings,
  refuseMeaningless,
  type Options,
  type SettingsOf,
} from '../src/cli/options';
import {messageOf} from '../src/cli/usage_error';
import {needsScores, paperMethods, type MethodParts} from '../src/methods';
import {seedRange} from '../src/common/options';

export type Method = keyof typeof learningRates;
export type ScoreName = keyof typeof scoreTitles;

/** The methods that the demo offers, with the learning rate of each. */
export const learningRates = {
  owlore: 2e-3,
  'owlore-full': 1e-3,
  lisa: 1e-3,
  'lisa-d': 1e-3,
  galore: 2e-3,
  full: 1e-3,
} as const;

/** The scores, with what tables call them. */
export const scoreTitles = {
  ows: 'outlier ratio',
  rm: 'relative magnitude',
  bi: 'block influence',
  uniform: 'the same for all',
} as const;

/** The largest values that the model allows. */
export interface ModelLimits {
  blocks: number;
  width: number;
}

const positive = {exclusiveMin: 0};
const count = {min: 1, integer: true};

function describeOptions({blocks, width}: ModelLimits) {
  return {
    method: choice<Method, Method>('how to fine-tune', keysOf(learningRates), 'owlore'),
    scores: choice<ScoreName, ScoreName>('what draws the blocks', keysOf(scoreTitles), 'ows'),
    gamma: number('blocks that train at a time', {...positive, max: blocks, default: 4}),
    rank: number('rank of the updates', {...count, max: width - 1, default: 32}),
    tau,
    interval: number('steps between draws of blocks', {...count, default: 25}),
    refresh: number('steps between refreshes of a basis', {...count, default: 50}),
    steps: number('steps of training', {...count, default: 150}),
    learningRate: number(
      `at the start, falling to 0 (default: ${learningRates.owlore} for owlore and galore, else ${learningRates.full})`,
      positive,
    ),
    seed: number('the same seed gives the same run', {
      ...seedRange,
      default: 1,
    }),
    backend: choice<BackendName, BackendName>('the backend that computes', backendNames, 'wasm'),
    report: outputFile('the file to write the report to (default: demo/report.html)'),
  };
}

type Given = SettingsOf<ReturnType<typeof describeOptions>>;
export type Settings = Given & {learningRate: number; report: string};

const defaultReport = fileURLToPath(new URL('report.html', import.meta.url));

/**
 * Reads the command line (without the two names that Node puts first). A wrong one ends the process: one line on
 * stderr, exit code 2.
 */
export function readCommandLine(args: readonly string[], limits: ModelLimits): Settings {
  return orExit(() => {
    const program = new Command('demo')
      .description('Fine-tunes a small LLaMA-style model with OwLore and writes a report.')
      .configureHelp({commandUsage: () => 'npm run demo -- [options]'});
    const {settings, given} = parse(program, describeOptions(limits), args);
    refuseMeaningless(given, meaningless(settings));
    const {learningRate = learningRates[settings.method], report = defaultReport} = settings;
    return {...settings, learningRate, report};
  });
}

/**
 * Reads the command line of the pre-training, as `readCommandLine` does.
 *
 * @param warmup Steps of the learning rate's rise, which the training is longer than.
 */
export function readPretrainingLine(
  args: readonly string[],
  warmup: number,
): {steps: number; backend: BackendName} {
  const options = {
    steps: number('steps of training', {integer: true, min: warmup + 1, default: 2500}),
    backend: choice<BackendName, BackendName>('what computes', backendNames, 'tensorflow'),
  };
  return orExit(() => {
    const program = new Command('pretrain')
      .description('Trains the model that the demo begins with, and its tokenizer.')
      .configureHelp({commandUsage: () => 'npm run pretrain -w demo -- [options]'});
    return parse(program, options, args).settings;
  });
}

/** Runs `read`; help and errors end the process. */
function orExit<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return process.exit(0);
    process.stderr.write(`error: ${messageOf(error)}\n`);
    return process.exit(2);
  }
}

function parse<O extends Options>(
  program: Command,
  options: O,
  args: readonly string[],
): ReturnType<typeof readSettings<O>> {
  program
    .helpOption('--help', 'show this')
    .allowExcessArguments(false)
    .configureOutput({outputError: () => undefined})
    .exitOverride();
  addOptions(program, options);
  program.parse(args, {from: 'user'});
  return readSettings(program, options);
}

/** The options that have no effect in a run with these settings, each with the reason. */
function meaningless({method, scores}: Given): Partial<Record<keyof Settings, string>> {
  const {lowRank, sampling}: MethodParts = paperMethods[method];
  const byMethod = `--method ${method}`;
  return {
    ...(!lowRank && {rank: byMethod, refresh: byMethod}),
    ...(sampling === null && {gamma: byMethod, interval: byMethod}),
    ...(scores !== 'ows' && {tau: `--scores ${scores}`}),
    ...(!needsScores(sampling) && {scores: byMethod, tau: byMethod}),
  };
}

/** The settings that have an effect, under the names of their options. */
export function settingsInUse(settings: Settings): Record<string, string | number> {
  const unused = meaningless(settings);
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([name]) => !(name in unused) && name !== 'report')
      .map(([name, value]) => [name === 'learningRate' ? 'learning rate' : name, value]),
  );
}

function keysOf<T extends object>(object: T): Array<keyof T & string> {
  return Object.keys(object) as Array<keyof T & string>;
}
