/** The demo's options: their defaults, their checks, their help. */
import {Command, InvalidArgumentError, Option} from 'commander';

export const methods = ['owlore', 'owlore-full', 'lisa', 'lisa-d', 'galore', 'full'] as const;
export const scoreNames = ['ows', 'rm', 'bi', 'uniform'] as const;
export const backendNames = ['wasm', 'cpu', 'tensorflow', 'webgpu'] as const;

export type Method = (typeof methods)[number];
export type ScoreName = (typeof scoreNames)[number];
export type BackendName = (typeof backendNames)[number];

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

/** What the method is made of: are the updates low-rank, what draws the blocks, and how large is a step. */
export const methodParts = {
  owlore: {lowRank: true, sampling: 'scores', learningRate: 2e-3},
  'owlore-full': {lowRank: false, sampling: 'scores', learningRate: 1e-3},
  lisa: {lowRank: false, sampling: 'uniform', learningRate: 1e-3},
  'lisa-d': {lowRank: false, sampling: 'decreasing', learningRate: 1e-3},
  galore: {lowRank: true, sampling: null, learningRate: 2e-3},
  full: {lowRank: false, sampling: null, learningRate: 1e-3},
} as const satisfies Record<
  Method,
  {lowRank: boolean; sampling: 'scores' | 'uniform' | 'decreasing' | null; learningRate: number}
>;

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
    .addOption(option('--method <name>', 'how to fine-tune').choices(methods).default('owlore'))
    .addOption(
      option('--scores <name>', 'what draws the blocks').choices(scoreNames).default('ows'),
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
    .addOption(number('--steps <n>', 'steps of training', 300, count))
    .addOption(number('--learning-rate <n>', learningRateHelp, undefined, positive))
    .addOption(number('--seed <n>', 'the same seed gives the same run', 1, {min: 0, integer: true}))
    .addOption(option('--backend <name>', 'what computes').choices(backendNames).default('wasm'))
    .addOption(option('--report <file>', 'where the report goes').default('demo/report.html'))
    .helpOption('--help', 'show this')
    .allowExcessArguments(false)
    .configureOutput({
      outputError: (text, write) => write(`${text.trim().replace(/\s*\n\s*/g, ' ')}\n`),
    })
    .exitOverride(({exitCode}) => process.exit(exitCode === 0 ? 0 : 2));
  program.parse(args, {from: 'user'});

  const given = (name: string) => program.getOptionValueSource(name) === 'cli';
  const settings = program.opts<Settings>();
  const parts = methodParts[settings.method];
  const unused = {
    scores: parts.sampling !== 'scores',
    tau: parts.sampling !== 'scores' || settings.scores !== 'ows',
    gamma: parts.sampling === null,
    interval: parts.sampling === null,
    rank: !parts.lowRank,
    refresh: !parts.lowRank,
  };
  for (const [name, isUnused] of Object.entries(unused)) {
    if (isUnused && given(name)) {
      const withScores = name === 'tau' && parts.sampling === 'scores';
      const what = withScores ? `--scores ${settings.scores}` : `--method ${settings.method}`;
      program.error(`error: option '--${name}' has no meaning with ${what}`);
    }
  }
  return {...settings, learningRate: settings.learningRate ?? parts.learningRate};
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
