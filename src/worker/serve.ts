/** A worker's side of the wire to its page. */
import {selectBackend, type BackendOptions, type SelectedBackend} from './backend';
import {FineTuningError, sentError} from './errors';
import type {Call, Calls, SentEvent, ToPage, ToWorker} from './messages';
import {resolveSettings} from './settings';
import {Training} from './training';

/** What is used of the global object of a worker. */
export interface Port {
  postMessage(message: ToPage): void;
  addEventListener(type: 'message', listener: (event: {data: ToWorker}) => void): void;
}

/** What a worker takes from where it runs. */
export interface Surroundings {
  /** Default: as a page has them. */
  selectBackend?: (options: BackendOptions) => Promise<SelectedBackend>;
}

/** Answers the calls of a page. */
export function serve(
  port: Port,
  {selectBackend: select = selectBackend}: Surroundings = {},
): void {
  let training: Training | null = null;
  const aborts = new Map<number, AbortController>();
  const emit = (event: SentEvent['event'], data: unknown): void =>
    port.postMessage({event, data} as SentEvent);
  const there = (): Training => {
    if (training) return training;
    throw new FineTuningError('bad-option', 'the worker has no training yet');
  };
  const calls: {
    [Name in keyof Calls]: (
      args: Parameters<Calls[Name]>,
      id: number,
    ) => ReturnType<Calls[Name]> | Promise<Awaited<ReturnType<Calls[Name]>>>;
  } = {
    async start([options]) {
      const owner = 'fineTuneInWorker';
      training = new Training(owner, resolveSettings(owner, options), emit, select);
      return training.run();
    },
    async resumeRun() {
      throw new FineTuningError('failed', 'not there yet');
    },
    async inspect() {
      throw new FineTuningError('failed', 'not there yet');
    },
    pause: async () => there().pause(),
    resume: async () => there().resume(),
    stop: async () => there().stop(),
    setLearningRate: async ([rate]) => there().setLearningRate(rate),
    chat: async ([messages, options], id) =>
      there().chat(messages, options, (text) => port.postMessage({id, text}), signalOf(aborts, id)),
    save: async ([form]) => there().save(form),
  };
  port.addEventListener('message', ({data}) => {
    if ('abort' in data) {
      aborts.get(data.abort)?.abort();
      return;
    }
    const {id} = data;
    void answer(calls as unknown as AnyCalls, data)
      .then((message) => port.postMessage({id, ...message}))
      .finally(() => aborts.delete(id));
  });
}

type AnyCalls = Record<string, (args: unknown[], id: number) => Promise<unknown>>;

async function answer(
  calls: AnyCalls,
  {id, call, args}: Call,
): Promise<{result: unknown} | {error: ReturnType<typeof sentError>}> {
  try {
    return {result: await calls[call]!(args, id)};
  } catch (error) {
    return {error: sentError(error)};
  }
}

function signalOf(aborts: Map<number, AbortController>, id: number): AbortSignal {
  const controller = new AbortController();
  aborts.set(id, controller);
  return controller.signal;
}
