/** The demo's options: their defaults, their checks, their help. */
import {existsSync} from 'node:fs';
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Command, InvalidArgumentError, Option} from 'commander';
import {backendNames, type BackendName} from '../scripts/load_backend';

export type Method = keyof typeof methodParts;
export type ScoreName = keyof typeof scoreTitles;

export interface Settings {
  method: Method;
  scores: ScoreName;
  gamma: number;
  rank: number;
  tau: number | 'auto';
  interval: number;
  refresh: number;
  steps: number;
  learningRate: number;
  seed: number;
  backend: BackendName;
  report: string;
}

/** What a method is made of: are the updates low-rank, what draws the blocks (null: all train), how large is a step. */
export const methodParts = {
  owlore: {title: 'OwLore', lowRank: true, sampling: 'scores', learningRate: 2e-3},
  'owlore-full': {
    title: 'OwLore (full rank)',
    lowRank: false,
    sampling: 'scores',
    learningRate: 1e-3,
  },
  lisa: {title: 'LISA', lowRank: false, sampling: 'uniform', learningRate: 1e-3},
  'lisa-d': {title: 'LISA-D', lowRank: false, sampling: 'decreasing', learningRate: 1e-3},
  galore: {title: 'GaLore', lowRank: true, sampling: null, learningRate: 2e-3},
  full: {title: 'Full fine-tuning', lowRank: false, sampling: null, learningRate: 1e-3},
} as const;

/** Of the scores, what a table calls them. */
export const scoreTitles = {
  ows: 'outlier ratio',
  rm: 'relative magnitude',
  bi: 'block influence',
  uniform: 'the same for all',
} as const;

const defaultReport = fileURLToPath(new URL('report.html', import.meta.url));
const learningRateHelp =
  'at the start, falling to 0 (default: low-rank methods 0.002, others 0.001)';

/** The largest values that the model allows. */
export interface ModelLimits {
  blocks: number;
  width: number;
}

/**
 * Reads the command line (without the two names that Node puts first). A wrong one ends the process: one line on
 * stderr, exit code 2.
 */
export function readCommandLine(args: readonly string[], {blocks, width}: ModelLimits): Settings {
  const positive = {exclusiveMin: 0};
  const count = {min: 1, integer: true};
  const program = new Command('npm run demo --')
    .description('Fine-tunes a small LLaMA-style model with OwLore and writes a report.')
    .addOption(
      option('--method <name>', 'how to fine-tune')
        .choices(Object.keys(methodParts))
        .default('owlore'),
    )
    .addOption(
      option('--scores <name>', 'what draws the blocks')
        .choices(Object.keys(scoreTitles))
        .default('ows'),
    )
    .addOption(number('--gamma <n>', 'blocks that train at a time', 4, {...positive, max: blocks}))
    .addOption(number('--rank <n>', 'rank of the updates', 32, {...count, max: width}))
    .addOption(
      option('--tau <n>', "an outlier is above tau times the block's mean, or auto")
        .default('auto')
        .argParser((text) => (text === 'auto' ? text : parseNumber(text, positive, "or 'auto'"))),
    )
    .addOption(number('--interval <n>', 'steps between draws of blocks', 25, count))
    .addOption(number('--refresh <n>', 'steps between refreshes of a basis', 50, count))
    .addOption(number('--steps <n>', 'steps of training', 250, count))
    .addOption(number('--learning-rate <n>', learningRateHelp, undefined, positive))
    .addOption(
      number('--seed <n>', 'the same seed gives the same run', 1, {
        min: 0,
        max: 2 ** 32 - 1,
        integer: true,
      }),
    )
    .addOption(option('--backend <name>', 'what computes').choices(backendNames).default('wasm'))
    .addOption(
      option('--report <file>', 'where the report goes').default(defaultReport, 'demo/report.html'),
    )
    .helpOption('--help', 'show this')
    .allowExcessArguments(false)
    .configureOutput({
      outputError: (text, write) => write(`${text.trim().replace(/\s*\n\s*/g, ' ')}\n`),
    })
    .exitOverride(({exitCode}) => process.exit(exitCode === 0 ? 0 : 2));
  program.parse(args, {from: 'user'});

  const given = program.opts<Settings>();
  const settings = {
    ...given,
    learningRate: given.learningRate ?? methodParts[given.method].learningRate,
  };
  for (const [name, why] of Object.entries(meaningless(settings))) {
    if (program.getOptionValueSource(name) === 'cli') {
      program.error(`error: option '--${name}' has no meaning with ${why}`);
    }
  }
  if (!existsSync(dirname(settings.report))) {
    program.error(`error: option '--report': there is no folder '${dirname(settings.report)}'`);
  }
  return settings;
}

/** The options that play no part in a run with these settings, each with what makes it so. */
function meaningless({method, scores}: Settings): Partial<Record<keyof Settings, string>> {
  const {lowRank, sampling} = methodParts[method];
  const byMethod = `--method ${method}`;
  return {
    ...(!lowRank && {rank: byMethod, refresh: byMethod}),
    ...(sampling === null && {gamma: byMethod, interval: byMethod}),
    ...(scores !== 'ows' && {tau: `--scores ${scores}`}),
    ...(sampling !== 'scores' && {scores: byMethod, tau: byMethod}),
  };
}

/** The settings that play a part, under the names of their options. */
export function settingsInUse(settings: Settings): Record<string, string | number> {
  const unused = meaningless(settings);
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([name]) => !(name in unused) && name !== 'report')
      .map(([name, value]) => [name === 'learningRate' ? 'learning rate' : name, value]),
  );
}

interface Range {
  min?: number;
  exclusiveMin?: number;
  max?: number;
  integer?: boolean;
}

function option(flags: string, description: string): Option {
  return new Option(flags, description);
}

function number(
  flags: string,
  description: string,
  value: number | undefined,
  range: Range,
): Option {
  return option(flags, description)
    .default(value)
    .argParser((text) => parseNumber(text, range));
}

function parseNumber(text: string, {min, exclusiveMin, max, integer}: Range, orElse = ''): number {
  const value = Number(text);
  const ok =
    text.trim() !== '' &&
    Number.isFinite(value) &&
    (!integer || Number.isInteger(value)) &&
    value >= (min ?? -Infinity) &&
    value > (exclusiveMin ?? -Infinity) &&
    value <= (max ?? Infinity);
  if (ok) return value;
  const bounds = [
    min !== undefined && `at least ${min}`,
    exclusiveMin !== undefined && `above ${exclusiveMin}`,
    max !== undefined && `at most ${max}`,
  ].filter(Boolean);
  throw new InvalidArgumentError(
    `It must be ${integer ? 'a whole number' : 'a number'}, ${bounds.join(' and ')}${orElse && ` ${orElse}`}.`,
  );
}
