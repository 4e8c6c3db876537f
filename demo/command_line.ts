/** The demo's options: their defaults, their checks, their help. */
import {existsSync} from 'node:fs';
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Command, CommanderError} from 'commander';
import {backendNames, type BackendName} from '../src/cli/register_backend';
import {tau} from '../src/cli/data_options';
import {
  addOptions,
  choice,
  number,
  readSettings,
  refuseMeaningless,
  text,
  type SettingsOf,
} from '../src/cli/options';
import {messageOf, UsageError} from '../src/cli/usage_error';
import {needsScores, paperMethods, type MethodParts} from '../src/methods';
import {seedRange} from '../src/options';

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
    report: text('the file to write the report to (default: demo/report.html)', '<file>'),
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
  try {
    return parse(args, limits);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return process.exit(0);
    process.stderr.write(`error: ${messageOf(error)}\n`);
    return process.exit(2);
  }
}

function parse(args: readonly string[], limits: ModelLimits): Settings {
  const options = describeOptions(limits);
  const program = new Command('demo')
    .description('Fine-tunes a small LLaMA-style model with OwLore and writes a report.')
    .helpOption('--help', 'show this')
    .allowExcessArguments(false)
    .configureHelp({commandUsage: () => 'npm run demo -- [options]'})
    .configureOutput({outputError: () => undefined})
    .exitOverride();
  addOptions(program, options);
  program.parse(args, {from: 'user'});

  const {settings, given} = readSettings(program, options);
  refuseMeaningless(given, meaningless(settings));
  const {learningRate = learningRates[settings.method], report = defaultReport} = settings;
  if (!existsSync(dirname(report))) {
    throw new UsageError(`demo: --report: there is no folder '${dirname(report)}'`);
  }
  return {...settings, learningRate, report};
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
