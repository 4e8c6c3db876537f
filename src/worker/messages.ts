/** What a page and its worker send to each other. */
import type {SentError} from './errors';
import type {FineTuningEvents, Inspection, Outcome} from './events';
import type {ResumeOptions, SaveForm, SentOptions, WorkerChatMessage} from './options';
import type {WrittenText} from './texts';

/** A call that is answered. */
export interface Call<Name extends keyof Calls = keyof Calls> {
  id: number;
  call: Name;
  args: Parameters<Calls[Name]>;
}

/** What of a page's options for a chat a worker gets. */
export interface SentChatOptions {
  of: 'before' | 'after';
  maxTokens?: number | undefined;
  temperature?: number | undefined;
  seed?: number | null | undefined;
}

/** How much of the examples is read, and how much there is to read. */
export interface ReadingProgress {
  done: number;
  total: number;
}

/** What a worker can be asked for; each answer comes when it is there. */
// eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- its values are picked by name
export type Calls = {
  start(options: SentOptions): Promise<Outcome>;
  resumeRun(run: string, options: Omit<ResumeOptions, 'worker'>): Promise<Outcome>;
  /** While it is answered, how much of the data is read is sent. */
  inspect(options: SentOptions): Promise<Inspection>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  checkpoint(): Promise<void>;
  stop(): Promise<Outcome>;
  setLearningRate(rate: number): Promise<void>;
  /** While it is answered pieces of text are sent. */
  chat(messages: WorkerChatMessage[] | string, options: SentChatOptions): Promise<WrittenText>;
  save(form: SaveForm): Promise<Map<string, Blob>>;
  deleteSaved(): Promise<void>;
};

/** From the page. */
export type ToWorker = Call | {abort: number};

/** What happened, as a message. */
export type SentEvent = {
  [Name in keyof FineTuningEvents]: {event: Name; data: FineTuningEvents[Name]};
}[keyof FineTuningEvents];

/** From the worker. */
export type ToPage =
  | SentEvent
  | {id: number; result: unknown}
  | {id: number; error: SentError}
  | {id: number; text: string}
  | {id: number; progress: ReadingProgress};
