/** The outcome of a run, as the record for its report, as lines for people, and as JSON for programs. */
import {isObject} from '../files/json';
import type {DatasetReport} from '../llama/index';
import {fileNameOf} from '../llama/text/data_file';
import {fieldsText} from '../llama/text/formats';
import type {Lora} from '../lora/index';
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import type {Answer} from './held_out_answers';
import type {RunRecord} from './report/report';
import type {BlockSampling} from './block_sampling';
import type {CommandConsole} from './console';
import {configOf, type FinetuneSettings} from './finetune_options';
import {withoutSecrets} from './options';
import {describeTime} from './progress';
import type {RunFolder} from './run_folder';
import {printValues} from './table';
import type {TrainingMonitor} from './training_monitor';
import {counted, quoted} from './words';

/** The outcome of training. */
export interface Trained {
  monitor: TrainingMonitor;
  blocks: readonly string[];
  /** With `--method lora`. */
  lora: Lora | null;
  /** See `EngineOutcome`; the adapters of `lora` must not be merged then. */
  saveCheckpoint: (() => Promise<void>) | null;
  /** Has the model answer held-out prompts, into the log, which is quicker with merged adapters. */
  answer(): Promise<void>;
  /** Frees the optimizer and the adapters; the model stays. */
  dispose(): void;
}

/** The outcome of a run. */
export interface Outcome {
  /** The options in effect, with the number type of the saved weights. */
  settings: FinetuneSettings;
  trained: Trained;
  /** The held-out loss of the saved weights, where they were rounded without being asked for; otherwise null. */
  savedLoss: number | null;
  sampling: BlockSampling | null;
  /** The report on the examples that were trained on. */
  report: DatasetReport;
  parameters: number;
  /** A text that asks as the examples do, with `…` for the question; null: the model is asked in a chat. */
  prompt: string | null;
  /** From the loaded model to the trained one; of a run that has gone on, with the steps before. */
  seconds: number;
}

/** What a model is called: its name on the Hub without the owner, or that of its folder or file. */
export function modelName(source: string): string {
  return fileNameOf(source.replace(/[\\/]+$/, '')).replace(/@.*$/, '');
}

/** The record for the report. */
export function runRecord(outcome: Outcome, folder: RunFolder): RunRecord {
  const {settings, trained, sampling, report, parameters, seconds} = outcome;
  const {monitor, blocks} = trained;
  const {title}: MethodParts = paperMethods[settings.method];
  const told = Object.entries(configOf(settings)).map(([name, value]) => [
    name,
    typeof value === 'string' ? withoutSecrets(value) : isObject(value) ? fieldsText(value) : value,
  ]);
  const {
    model,
    data,
    output: _,
    ...shown
  } = Object.fromEntries(told) as Record<string, string | number>;
  return {
    title: `${modelName(folder.path)}: ${title} of ${modelName(String(model))} on ${fileNameOf(String(data))}`,
    lead:
      `A LLaMA-style model of ${(parameters / 1e6).toPrecision(3)} million parameters in ${blocks.length} blocks ` +
      `(${String(model)}) learns ${report.used.toLocaleString('en')} examples (${String(data)}) in ${placeOf(settings)}.`,
    method: title,
    backend: settings.engine === 'torch' ? 'torch' : settings.backend,
    parameters,
    seconds,
    settings: shown,
    next: nextCommands(outcome, folder),
    scoreTitle: sampling?.scored?.title ?? null,
    outsideBlocks: outsideBlocks(settings),
    blocks: blocks.map((name, i) => ({
      name,
      score: sampling?.scored?.values[i] ?? null,
      probability: sampling?.probabilities[i] ?? 1,
      stepsTrained: monitor.stepsTrained(i),
    })),
    steps: monitor.steps,
    heldOut: monitor.heldOut,
    savedStep: monitor.kept.step,
    memory: {method: {peak: monitor.peakBytes, state: monitor.stateBytes}, full: null},
    samples: samplesIn(monitor),
  };
}

/** The answers to the prompts that the model was given before training and after it. */
function samplesIn({answers, steps}: TrainingMonitor): RunRecord['samples'] {
  const at = (wanted: number): Answer[] => answers.find(({step}) => step === wanted)?.answers ?? [];
  return at(steps.length).flatMap(({prompt, text: after}) => {
    const before = at(0).find((each) => each.prompt === prompt)?.text;
    return before === undefined ? [] : [{prompt, before, after}];
  });
}

/** What one may do with the model that came out. */
function nextCommands(
  {settings: {validation, data, fields}, prompt}: Outcome,
  {model}: RunFolder,
): RunRecord['next'] {
  const command = (...words: string[]): string =>
    ['npx tfjs-owlore', ...words.map(quoted)].join(' ');
  const withData = (file: string): string[] => [
    ...['--data', withoutSecrets(file)],
    ...(fields ? ['--fields', fieldsText(fields)] : []),
  ];
  const of = ['--model', model];
  return [
    prompt === null
      ? {what: 'Talk to it:', command: command('chat', ...of)}
      : {what: 'Have it write:', command: command('generate', ...of, '--prompt', prompt)},
    {what: 'Measure it:', command: command('evaluate', ...of, ...withData(validation ?? data))},
    {
      what: 'Train it further, here or on other data:',
      command: command('finetune', ...of, ...withData(data), '--output', '…'),
    },
  ];
}

function outsideBlocks({method, embedding}: FinetuneSettings): RunRecord['outsideBlocks'] {
  if (!trainsRest(method)) return 'none';
  return embedding === 'frozen' ? 'norm' : 'all';
}

/** Prints the outcome; returns what `--json` prints. */
export function printOutcome(
  {settings, trained, savedLoss, report, seconds}: Outcome,
  folder: RunFolder,
  console: CommandConsole,
): object {
  const {monitor} = trained;
  const [before, after] = [monitor.heldOut[0]!.loss, monitor.kept.loss];
  const {peakBytes, stateBytes} = monitor;
  const isTorch = settings.engine === 'torch';
  const arrow = (show: (loss: number) => string): string => `${show(before)} → ${show(after)}`;
  printValues(
    (line) => console.print(line),
    [
      ['held-out loss', arrow((loss) => loss.toFixed(4))],
      ['perplexity', arrow((loss) => Math.exp(loss).toPrecision(4))],
      [
        isTorch ? 'memory' : 'tensor memory',
        `${megabytes(peakBytes)} at most, of it ${megabytes(stateBytes)} optimizer state`,
      ],
      ['time', `${describeTime(seconds)}, ${counted(monitor.steps.length, 'step')}`],
      ...(trained.lora ? [['adapter', folder.adapter] as [string, string]] : []),
      ['model', folder.model],
      ['report', folder.report],
    ],
  );
  const {used, cut, dropped, problems} = report;
  return {
    output: folder.path,
    model: folder.model,
    ...(trained.lora && {adapter: folder.adapter}),
    report: folder.report,
    heldOutLoss: {before, after, ...(savedLoss !== null && {saved: savedLoss})},
    dtype: settings.dtype,
    steps: monitor.steps.length,
    savedStep: monitor.kept.step,
    seconds,
    peakBytes,
    stateBytes,
    ...{engine: settings.engine, backend: settings.backend},
    ...{examples: used, cut, dropped, problems},
  };
}

/** Where the model of a run was trained. */
function placeOf({engine, backend, processes, parallel}: FinetuneSettings): string {
  if (engine === 'tfjs') return `TensorFlow.js on the ${backend} backend`;
  const by = processes === 1 ? '' : ` by ${parallel.toUpperCase()}`;
  return `PyTorch, in ${counted(processes!, 'process', 'processes')}${by}`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}
