/** A page's side of the wire to its worker. */
import {FineTuningError, receivedError} from './errors';
import type {Calls, ReadingProgress, SentEvent, ToPage, ToWorker} from './messages';

/** What is used of a `Worker`. */
export type WorkerLike = Pick<Worker, 'postMessage' | 'terminate' | 'addEventListener'>;

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  onText: ((text: string) => void) | undefined;
  onProgress: ((progress: ReadingProgress) => void) | undefined;
}

/** Calls a worker, and hears what it says. */
export class Link {
  private readonly pending = new Map<number, Pending>();
  private calls = 0;
  /** Why it can be called no more; null while it can. */
  private end: FineTuningError | null = null;

  /** @param onEvent Called with each event. */
  constructor(
    private readonly worker: WorkerLike,
    onEvent: (event: SentEvent) => void,
  ) {
    worker.addEventListener('message', ({data}: MessageEvent<ToPage>) => {
      if ('event' in data) onEvent(data);
      else this.answer(data);
    });
    worker.addEventListener('error', (event: ErrorEvent) => {
      event.preventDefault?.();
      const why = event.message ? `: ${event.message}` : ', or is not there';
      this.close(
        new FineTuningError(
          'worker',
          `the worker ended or could not be started${why}. Where a bundler does not find its file, give the option worker ` +
            '(docs/browser.md)',
        ),
      );
    });
    worker.addEventListener('messageerror', () =>
      this.close(new FineTuningError('worker', 'a message of the worker could not be read')),
    );
  }

  /** Asks the worker for something; rejects with the worker's error, or with that by which it ended. */
  async call<Name extends keyof Calls>(
    call: Name,
    args: Parameters<Calls[Name]>,
    {
      signal,
      onText,
      onProgress,
    }: Partial<Pick<Pending, 'onText' | 'onProgress'>> & {signal?: AbortSignal} = {},
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    if (this.end) throw this.end;
    const id = ++this.calls;
    const abort = (): void => this.send({abort: id});
    const answer = new Promise<unknown>((resolve, reject) =>
      this.pending.set(id, {resolve, reject, onText, onProgress}),
    );
    try {
      try {
        this.send({id, call, args});
      } catch (error) {
        // what cannot be cloned
        throw new FineTuningError('bad-option', `${call}: ${(error as Error).message}`, {
          cause: error,
        });
      }
      if (signal?.aborted) abort();
      signal?.addEventListener('abort', abort);
      return (await answer) as Awaited<ReturnType<Calls[Name]>>;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.pending.delete(id);
    }
  }

  /** Ends the worker; what it was asked for is rejected. */
  close(
    why = new FineTuningError('worker', 'the training was disposed of, which ended its worker'),
  ): void {
    if (this.end) return;
    this.end = why;
    this.worker.terminate();
    for (const {reject} of this.pending.values()) reject(why);
  }

  private send(message: ToWorker): void {
    if (!this.end) this.worker.postMessage(message);
  }

  private answer(message: Exclude<ToPage, SentEvent>): void {
    const pending = this.pending.get(message.id);
    if (!pending) return;
    if ('text' in message) pending.onText?.(message.text);
    else if ('progress' in message) pending.onProgress?.(message.progress);
    else if ('error' in message) pending.reject(receivedError(message.error));
    else pending.resolve(message.result);
  }
}
