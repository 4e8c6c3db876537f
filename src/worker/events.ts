/** What a worker says of a training. */
import type {FineTuningErrorCode} from './errors';
import type {FineTuneOptions, WorkerBackend} from './options';

/** What a worker is at. */
export interface StatusEvent {
  phase: 'backend' | 'model' | 'data' | 'scores' | 'training' | 'heldOut' | 'saving';
  /** In words. */
  text: string;
  /** How much of `total` is done: bytes of a model, examples, batches, steps; told at most twenty times a second until it is done. */
  done?: number;
  total?: number;
}

/** A block of the model, and how it is drawn. */
export interface BlockInfo {
  name: string;
  /** What it is drawn by; null where the method needs no scores. */
  score: number | null;
  /** With which it is on in a period; 1 where all blocks train. */
  probability: number;
}

/** Bytes that a training is estimated to take, by `estimateMemory`. */
export interface EstimatedMemory {
  total: number;
  parts: {weights: number; gradients: number; state: number; activations: number};
}

/**
 * How a model is asked a text in a chat: by its chat template; as the examples ask that it learns from, in a form with `…` for the text;
 * or it goes on with the text.
 */
export type PromptStyle = {by: 'template'} | {by: 'examples'; form: string} | {by: 'text'};

/** Options of a run that say how it trains. */
export type RunOptions = Omit<
  FineTuneOptions,
  'model' | 'data' | 'run' | 'token' | 'worker' | 'wasmPaths'
>;

/** A training that is about to begin, or to go on. */
export interface RunInfo {
  /** Its name in the browser's storage; null: nothing is kept. */
  run: string | null;
  backend: WorkerBackend;
  /** On which wasm computes; 1 on other backends. */
  threads: number;
  /** Numbers in the model. */
  parameters: number;
  blocks: BlockInfo[];
  steps: number;
  /** The options that the run has, with their defaults; not where model and data are from. */
  options: RunOptions;
  /** Positions in the batches of a step, at most. */
  tokensPerStep: number;
  /** Examples that are trained on. */
  examples: number;
  heldOutExamples: number;
  /** How it is asked in a chat. */
  promptStyle: PromptStyle;
  estimate: EstimatedMemory;
  /** The most bytes of tensors that this tab has room for; null where nobody knows. */
  limit: number | null;
  /** What tfjs takes to fine-tune all weights by its own Adam, with tfjs's own gradients: an estimate. */
  plainBytes: number;
  /** The step from which it goes on; 0 at the beginning. */
  step: number;
  /** What was said of the steps until then, to be drawn again. */
  history: HistoryEntry[];
}

/** A step of the optimizer that is made. */
export interface StepEvent {
  /** 1, 2, … */
  step: number;
  /** Mean over its batches. */
  loss: number;
  learningRate: number;
  /** Which blocks trained, by their places in {@link RunInfo.blocks}. */
  blocks: number[];
  seconds: number;
  /** Positions in its batches. */
  tokens: number;
  /** Bytes of tensors after it, and what the step had at its peak beyond these. */
  memory: {weights: number; state: number; activations: number};
  /** The most bytes of tensors at once. */
  peakBytes: number;
}

/** The loss on held-out examples after a step; 0: before the first. */
export interface HeldOutEvent {
  step: number;
  loss: number;
}

/** What the model goes on with after a prompt. */
export interface SampleTextEvent {
  step: number;
  prompt: string;
  text: string;
  /** Whether it answers the prompt, and does not go on with it. */
  isAnswer: boolean;
  /** Whether it ends because it has as many tokens as a sample may have, so that the model may have had more to say. */
  isCut: boolean;
}

/** Other blocks are on, from a step on. */
export interface PeriodEvent {
  /** Its first step. */
  step: number;
  /** By their places in {@link RunInfo.blocks}. */
  blocks: number[];
  /** In words. */
  why: string;
}

/** The learning rate was set. */
export interface RateEvent {
  /** Its first step. */
  step: number;
  learningRate: number;
}

/** What a checkpoint keeps of what was said. */
export type HistoryEntry =
  | {event: 'step'; data: StepEvent}
  | {event: 'heldOut'; data: HeldOutEvent}
  | {event: 'sample'; data: SampleTextEvent}
  | {event: 'period'; data: PeriodEvent}
  | {event: 'rate'; data: RateEvent};

/** How a training ended. */
export interface Outcome {
  /** Steps that are made. */
  step: number;
  /** Steps of the whole run. */
  steps: number;
  /** Of the last step; NaN if there was none. */
  loss: number;
  /** The last held-out loss; null if there was none. */
  heldOut: number | null;
  /** That its steps took. */
  seconds: number;
  /** Whether it was stopped before its end. */
  stopped: boolean;
}

/** Events of a {@link FineTuning}, each with what its listeners get. */
export interface FineTuningEvents {
  status: StatusEvent;
  ready: RunInfo;
  step: StepEvent;
  heldOut: HeldOutEvent;
  sample: SampleTextEvent;
  period: PeriodEvent;
  /** A checkpoint is in the browser's storage. */
  checkpoint: {step: number; bytes: number};
  paused: {step: number};
  resumed: {step: number};
  rate: RateEvent;
  /** What this library or tfjs warns of; with a code if the training waits because of it. */
  warning: {text: string; code?: FineTuningErrorCode};
  done: Outcome;
}

/** Bytes that a run keeps in the browser's storage, at most. */
export interface StorageNeed {
  /** Of its newest checkpoint, its examples, and its model where that was given as files. */
  kept: number;
  /** While a checkpoint is written beside the one before it. */
  peak: number;
  /** Beside `kept`, what `save` writes of the model in one form, until `deleteSaved`. */
  saved: number;
  /** That the browser lets this page store beside what is there; null if it does not say. */
  free: number | null;
}

/** What {@link inspectInWorker} finds, before any weight is read. */
export interface Inspection {
  config: {
    /** Numbers in the model. */
    parameters: number;
    blocks: number;
    /** The hidden size. */
    width: number;
    vocabulary: number;
    /** The longest row that it takes. */
    maxLength: number;
    architecture: string;
  };
  estimate: EstimatedMemory;
  /** As in {@link RunInfo}. */
  plainBytes: number;
  /** As in {@link RunInfo}. */
  limit: number | null;
  /** The smallest change of options with which it fits, where it does not as it is; null if it fits, or nothing would help. */
  nearest: Partial<FineTuneOptions> | null;
  /** Null with `run: null`. */
  storage: StorageNeed | null;
  data: {
    examples: number;
    /** Those of them that can be used. */
    usable: number;
    /** Of all examples that can be used. */
    tokens: number;
    /** What is wrong with examples, files or options, in words, the worst first; empty: nothing. */
    problems: string[];
    /** The first examples, in pieces of text that the loss counts or does not count. */
    preview: Array<Array<{text: string; isLearnt: boolean}>>;
  };
  backend: WorkerBackend;
  threads: number;
}
