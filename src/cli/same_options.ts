/** Whether a run that goes on has the options that it began with. */
import {join} from 'node:path';
import type {Candidate} from '../checkpoint/check_fits';
import {isObject, show} from '../files/json';
import {cut} from '../common/options';
import {ACCUMULATED} from '../owlore/optimizer/state/saved_names';
import type {CommandConsole} from './console';
import {configOf, scoreNames, type FinetuneSettings} from './finetune_options';
import {NAMES} from './run_files';
import {UsageError} from './usage_error';
import {counted} from './words';

/** What may be another one in the config of a run that goes on: where its files are, what computes, and what is written and how often. */
const FREE: ReadonlySet<keyof FinetuneSettings> = new Set([
  ...(['model', 'adapter', 'chatTemplate', 'output'] as const), // compared by their contents
  ...(['data', 'validation', 'validationSplit'] as const),
  ...(['backend', 'threads', 'engine', 'processes', 'parallel'] as const),
  ...(['dtype', 'saveEvery', 'evaluateEvery'] as const),
  ...(['epochs', 'steps'] as const), // told by the steps of the run
]);

/** Those that change the learning rate. */
const RATE_OPTIONS: readonly string[] = ['learningRate', 'schedule', 'warmup', 'steps'];

/** What may be another one, and is told: the processor of another machine may not have it. */
const TOLD = 'matmulPrecision';

/** The options that a run's checkpoints have, because a run that goes on must have the same. */
export function lastingOptions(settings: FinetuneSettings, steps: number): Record<string, unknown> {
  const {scores, schedule} = settings;
  const {scores: drawn, ...options} = configOf(settings);
  const lasting = Object.entries(options).filter(
    ([name]) => !FREE.has(name as keyof FinetuneSettings),
  );
  return {
    ...Object.fromEntries(lasting),
    // a file may have been moved; what is in it is compared when the training goes on
    ...(drawn !== undefined && {scores: scoreNames.includes(scores) ? scores : 'a file'}),
    ...(schedule !== 'constant' && {steps}),
  };
}

/**
 * Compares the options of a run that goes on with those in its checkpoint, before its data are read. The steps in all, which its data
 * tell, are left to {@link checkSameSteps}.
 *
 * @throws UsageError that names what differs.
 */
export function checkSameOptions(
  from: Candidate,
  settings: FinetuneSettings,
  console: Pick<CommandConsole, 'note'>,
): void {
  const {steps: _, ...was} = optionsIn(from, settings);
  const {steps: __, ...is} = lastingOptions(settings, 0);
  const changes = changesOf(was, is);
  refuse(
    changes.filter(({name}) => name !== TOLD),
    settings,
  );
  for (const {text} of changes)
    console.note(`${settings.resume!}: ${text}, so that it goes on with other rounding`);
}

/**
 * Compares the steps in all of a run that goes on with those in its checkpoint.
 *
 * @param steps Of the run, by its options and data.
 * @throws UsageError if the learning rate depends on them and they differ, or if the run has made more.
 */
export function checkSameSteps(from: Candidate, settings: FinetuneSettings, steps: number): void {
  const {step, optimizer} = from.manifest;
  const {steps: was} = optionsIn(from, settings);
  refuse(changesOf({steps: was}, {steps: lastingOptions(settings, steps)['steps']}), settings);
  const isBegun = Number(optimizer.counters[ACCUMULATED] ?? 0) > 0;
  if (step + (isBegun ? 1 : 0) <= steps) return;
  throw new UsageError(
    `${settings.resume!}: the run has made ${counted(step, 'step')}, and its options say ${steps} in all; give it more in its config.json`,
  );
}

function optionsIn(
  {manifest: {extra}}: Candidate,
  {resume}: FinetuneSettings,
): Record<string, unknown> {
  const options = isObject(extra) ? extra['options'] : undefined;
  if (isObject(options)) return options;
  throw new Error(
    `${resume!}: its checkpoint has no options of a run in extra; got ${show(options)}`,
  );
}

/** An option that is another one, and what was and is. */
interface Change {
  name: string;
  text: string;
}

function changesOf(was: Record<string, unknown>, is: Record<string, unknown>): Change[] {
  const textOf = (value: unknown): string => JSON.stringify(value) ?? 'not given';
  return Object.keys({...was, ...is})
    .map((name) => ({name, was: textOf(was[name]), is: textOf(is[name])}))
    .filter((option) => option.was !== option.is)
    .map(({name, was, is}) => ({name, text: `${cut(name)} was ${cut(was)} and is ${cut(is)}`}));
}

function refuse(changes: readonly Change[], {resume}: FinetuneSettings): void {
  if (changes.length === 0) return;
  const forLonger = changes.some(({name}) => RATE_OPTIONS.includes(name))
    ? '. To train for longer, let the run come to its end, and train its model further by another run: finetune --model ' +
      join(resume!, NAMES.model)
    : '';
  throw new UsageError(
    `finetune: the run in ${resume!} had other options: ${changes.map(({text}) => text).join('; ')}; give its config.json ` +
      `those of then${forLonger}`,
  );
}
