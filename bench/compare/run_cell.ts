/**
 * Runs a cell: the training by `tfjs-owlore finetune` in a process of its own, then the measurement of the model. Each part leaves a
 * file, so that a cell that was stopped at any moment goes on where it was; the training itself goes on from its last checkpoint.
 */
import {spawn} from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {finetuneOptions, meaningless, type FinetuneSettings} from '../../src/cli/finetune_options';
import type {OptionDescription} from '../../src/cli/options';
import type {PaperMethodName} from '../../src/methods';
import {scoreKinds, type ScoreKind} from '../../src/owlore/scores/score_kinds';
import {checkUnlocked, FolderInUseError} from '../../src/files/folder_lock';
import {argumentsOf, trainingName, type Cell, type Options} from './cells';
import type {CommandResult} from './child';
import {failureOf, jsonIn, writeWhole} from './files';
import type {MeasureOptions, ModelMeasures} from './measure';
import {scoresOf} from './plan';
import type {Prepared} from './prepare';
import type {Measured, Steps} from './records';
import type {Setting} from './settings';

/** What came of a cell. */
export type Outcome = {measured: Measured} | {failed: string};

/** Where a training works. */
function filesOf({folder}: Prepared, cell: Cell) {
  const at = join(folder, 'cells', trainingName(cell));
  return {
    folder: at,
    run: join(at, 'run'),
    model: join(at, 'run', 'model'),
    log: join(at, 'child.log'),
    /** How often the training was begun or gone on with, a byte each. */
    processes: join(at, 'processes'),
    trained: join(at, 'trained.json'),
    measured: join(at, `measured-${cell.heldOut}.json`),
  };
}

/** Runs a cell, or what is left of it. */
export async function runCell(setting: Setting, prepared: Prepared, cell: Cell): Promise<Outcome> {
  const files = filesOf(prepared, cell);
  mkdirSync(files.folder, {recursive: true});
  if (cell.options['method'] === undefined) {
    return {
      measured: withoutChange(await measureModel(setting, prepared, cell, prepared.model, null)),
    };
  }
  const failure = await train(setting, prepared, cell);
  if (failure !== null) return {failed: failure};
  const measures = await measureModel(setting, prepared, cell, files.model, prepared.model);
  // JSON has null for NaN
  if (![measures.heldOut, measures.neutral].every(({loss}) => Number.isFinite(loss)))
    return {failed: 'the loss after training is not finite'};
  return {measured: resultOf(prepared, cell, measures)};
}

/** Of a training that is run for its time and memory alone. */
export interface TimedTraining {
  /** Of the steps after the first. */
  seconds: number[];
  peakBytes: number;
  residentBytes: number;
}

/** Trains, and keeps nothing. */
export async function timeTraining(
  setting: Setting,
  prepared: Prepared,
  cell: Cell,
): Promise<TimedTraining> {
  const files = filesOf(prepared, cell);
  removeWork(prepared, cell);
  mkdirSync(files.folder, {recursive: true});
  try {
    const failure = await train(setting, prepared, cell);
    if (failure !== null) throw new Error(failure);
    const {result, residentBytes} = jsonIn<CommandResult>(files.trained)!;
    const {peakBytes} = result as {peakBytes: number};
    const {seconds} = stepsOf(readLog(files.run));
    return {seconds: seconds.slice(1), peakBytes, residentBytes};
  } finally {
    removeWork(prepared, cell);
  }
}

/** Removes what a cell has worked with, once its results are written. */
export function removeWork(prepared: Prepared, cell: Cell): void {
  rmSync(filesOf(prepared, cell).folder, {recursive: true, force: true});
}

/** @returns null, or why the training came to no end. */
async function train(setting: Setting, prepared: Prepared, cell: Cell): Promise<string | null> {
  const files = filesOf(prepared, cell);
  if (existsSync(files.trained)) return null;
  await untilUnlocked(files.run);
  const isBegun =
    existsSync(join(files.run, 'config.json')) && existsSync(join(files.run, 'log.jsonl'));
  // a run that is complete, but was killed before it could say so, is trained anew
  const goesOn = isBegun && !existsSync(files.model);
  if (!goesOn)
    for (const path of [files.run, files.processes]) rmSync(path, {recursive: true, force: true});
  const args = goesOn ? ['--resume', files.run] : await argumentsOfCell(setting, prepared, cell);
  appendFileSync(files.processes, '.');
  rmSync(failureOf(files.trained), {force: true});
  try {
    await runChild(files.log, ['command', files.trained, 'finetune', ...args]);
  } catch (error) {
    const {error: reason = ''} = jsonIn<{error: string}>(failureOf(files.trained)) ?? {};
    if (/NaN|not finite|infinite/.test(reason)) return reason;
    throw error;
  }
  return null;
}

/** The process that a killed one has started ends by itself, but not at once. */
async function untilUnlocked(folder: string): Promise<void> {
  for (let seconds = 0; existsSync(folder); seconds++) {
    try {
      checkUnlocked('compare', folder);
      return;
    } catch (error) {
      if (!(error instanceof FolderInUseError) || seconds > 120) throw error;
      await sleep(1000);
    }
  }
}

const defaults = Object.fromEntries(
  Object.entries<OptionDescription<unknown>>(finetuneOptions).map(([name, option]) => [
    name,
    option.default,
  ]),
);

/** The options of `finetune`, without those that its method does not have. */
export function optionsOf(setting: Setting, {options}: Cell): Options {
  const {tau: _, ...own} = options;
  const all = {
    ...setting.training,
    ...setting.methodOptions[own['method'] as PaperMethodName],
    ...own,
  };
  const unused = meaningless({...defaults, ...all} as FinetuneSettings);
  return Object.fromEntries(Object.entries(all).filter(([name]) => !Object.hasOwn(unused, name)));
}

async function argumentsOfCell(
  setting: Setting,
  prepared: Prepared,
  cell: Cell,
): Promise<string[]> {
  const {model, files} = prepared;
  const {scores, ...options} = optionsOf(setting, cell);
  const file = await scoresFile(setting, prepared, cell);
  return argumentsOf({
    ...options,
    ...(scores !== undefined && {scores: file ?? scores}),
    ...{model, data: files.train, validation: files.curve, backend: setting.backend},
    output: filesOf(prepared, cell).run,
  });
}

/** The file of a cell's scores, which all cells share; they are computed when the first one needs them. */
async function scoresFile(
  setting: Setting,
  prepared: Prepared,
  {options}: Cell,
): Promise<string | null> {
  const {scores, tau} = options;
  if (scores === undefined || !Object.hasOwn(scoreKinds, String(scores))) return null;
  const {needsData} = scoreKinds[scores as ScoreKind];
  const name = tau === undefined ? String(scores) : `${scores}-${tau}`;
  const file = join(prepared.folder, `scores-${name}.json`);
  if (!existsSync(file)) {
    const {maxLength, packing = false} = setting.training;
    const texts = {data: prepared.files.train, maxLength, packing, ...setting.calibration, seed: 0};
    const args = argumentsOf({
      ...{model: prepared.model, backend: setting.backend, kind: String(scores)},
      ...(tau !== undefined && {tau}),
      ...(needsData && texts),
    });
    const log = join(prepared.folder, 'scores.log');
    const result = `${file}.result`;
    await runChild(log, ['command', result, 'scores', ...args]);
    writeWhole(file, JSON.stringify(jsonIn<CommandResult>(result)!.result));
  }
  return file;
}

async function measureModel(
  setting: Setting,
  prepared: Prepared,
  cell: Cell,
  model: string,
  before: string | null,
): Promise<ModelMeasures> {
  const {log, measured} = filesOf(prepared, cell);
  if (!existsSync(measured)) {
    const {maxLength, packing = false, batchSize} = setting.training;
    const options: MeasureOptions = {
      ...{backend: setting.backend, model, before, batchSize},
      heldOut: {file: prepared.files[cell.heldOut], maxLength, packing: packing === true},
      neutral: {file: prepared.files.neutral, ...setting.neutral},
      questions: isAsked(setting, cell) ? prepared.questions : null,
    };
    await runChild(log, ['measure', measured, JSON.stringify(options)]);
  }
  return jsonIn<ModelMeasures>(measured)!;
}

/** The model as it is, and the methods of the paper's tables in their first seed. */
function isAsked(setting: Setting, {options, heldOut}: Cell): boolean {
  const {asked = [], seeds} = setting;
  const {method, seed, learningRate: _, ...others} = options;
  if (heldOut !== 'test') return false;
  if (method === undefined) return asked.length > 0;
  const own = scoresOf(setting, method as PaperMethodName);
  const isPlain = Object.entries(others).every(([name, value]) => own[name] === value);
  return isPlain && seed === seeds.tables[0] && asked.includes(method as PaperMethodName);
}

function withoutChange({heldOut, neutral, tasks}: ModelMeasures): Measured {
  return {heldOut, neutral, ...(tasks && {tasks})};
}

/** The figures of a training, from its log and what its process printed. */
function resultOf(prepared: Prepared, cell: Cell, measures: ModelMeasures): Measured {
  const {run, trained, processes} = filesOf(prepared, cell);
  const {result, residentBytes} = jsonIn<CommandResult>(trained)!;
  const {peakBytes, stateBytes} = result as {peakBytes: number; stateBytes: number};
  const log = readLog(run);
  const scores = jsonIn<{scores: number[]}>(join(run, 'scores.json'));
  const {weightBytes, changed} = measures;
  return {
    ...withoutChange(measures),
    training: {
      steps: stepsOf(log),
      curve: log.flatMap(({event, step, loss}) => (event === 'heldOut' ? [{step, loss}] : [])),
      ...{peakBytes, stateBytes, weightBytes, residentBytes},
      processes: readFileSync(processes, 'utf8').length,
      changed: changed!,
      scores: scores?.scores ?? null,
    },
  };
}

interface LogLine {
  event: 'step' | 'heldOut' | 'end';
  step: number;
  loss: number;
  learningRate: number;
  seconds: number;
  peakBytes: number;
  blocks: string[];
}

function readLog(run: string): LogLine[] {
  const lines = readFileSync(join(run, 'log.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as LogLine);
}

function stepsOf(log: readonly LogLine[]): Steps {
  const steps = log.filter(({event}) => event === 'step');
  return {
    loss: steps.map(({loss}) => loss),
    learningRate: steps.map(({learningRate}) => learningRate),
    seconds: steps.map(({seconds}) => Number(seconds.toFixed(3))),
    peakBytes: steps.map(({peakBytes}) => peakBytes),
    on: steps.map(({blocks}) => blocks.map((name) => Number(/\d+$/.exec(name)![0]))),
  };
}

const program = fileURLToPath(new URL('child.ts', import.meta.url));

/** Runs a child to its end; what it says goes to a file. */
async function runChild(log: string, args: readonly string[]): Promise<void> {
  const output = openSync(log, 'a');
  try {
    const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], {
      // the child ends when this pipe is closed, as it is when this process dies
      stdio: ['pipe', output, output],
    });
    const code = await new Promise<number | string>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, signal) => resolve(status ?? signal!));
    });
    if (code === 0) return;
    const last = readFileSync(log, 'utf8').trim().split('\n').slice(-3).join(' | ');
    const what = args[0] === 'command' ? args[2] : 'measuring the model';
    throw new Error(`${what} ended with ${code}: ${last} (all of it: ${log})`);
  } finally {
    closeSync(output);
  }
}
