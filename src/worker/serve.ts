/** A worker's side of the wire to its page. */
import {selectBackend, type BackendOptions, type SelectedBackend} from './backend';
import {FineTuningError, sentError} from './errors';
import {codedError} from './failure';
import {inspect} from './inspect';
import type {Calls, SentEvent, ToPage, ToWorker} from './messages';
import type {SentOptions} from './options';
import {holdRun, RunStore} from './run_store';
import {defaultRunName} from './run_name';
import {resolveSettings} from './settings';
import type {Training} from './begin';
import {TrainingProgram} from './training';

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

type Answers = {
  [Name in keyof Calls]: (
    args: Parameters<Calls[Name]>,
    id: number,
  ) => Promise<Awaited<ReturnType<Calls[Name]>>>;
};

/**
 * Answers the calls of a page.
 *
 * @returns what tells the page of an event.
 */
export function serve(port: Port, surroundings: Surroundings = {}): Training['emit'] {
  const {selectBackend: select = selectBackend} = surroundings;
  const aborts = new Map<number, AbortController>();
  let program: TrainingProgram | null = null;
  const emit: Training['emit'] = (event, data) => port.postMessage({event, data} as SentEvent);
  const there = (): TrainingProgram => {
    if (program) return program;
    throw new FineTuningError('bad-option', 'the worker has no training yet');
  };
  const train = (training: Omit<Training, 'emit' | 'selectBackend'>): TrainingProgram => {
    program = new TrainingProgram({...training, emit, selectBackend: select});
    return program;
  };
  const signalOf = (id: number): AbortSignal => {
    const controller = new AbortController();
    aborts.set(id, controller);
    return controller.signal;
  };

  const answers: Answers = {
    async start([options]) {
      const owner = 'fineTuneInWorker';
      const settings = resolveSettings(owner, options);
      const {run, model} = settings;
      const store =
        run === undefined
          ? await RunStore.createNamedLike(defaultRunName(model))
          : run === null
            ? null
            : await RunStore.create(owner, run);
      // a worker that holds a lock is not put to sleep with its tab
      if (!store) await holdRun(`without a name, ${crypto.randomUUID()}`);
      return train({owner, settings, store}).run();
    },
    async resumeRun([run, options]) {
      const owner = 'resumeInWorker';
      const store = await RunStore.open(owner, run);
      const {settings} = store.file!;
      const given = {...settings, ...options, model: await store.model(), data: await store.data()};
      return train({owner, settings: resolveSettings(owner, given as SentOptions), store}).run();
    },
    inspect: ([options], id) => inspect(resolveSettings('inspectInWorker', options), select, signalOf(id)), // prettier-ignore
    pause: async () => there().pause(),
    resume: async () => there().resume(),
    checkpoint: async () => there().checkpoint(),
    stop: async () => there().stop(),
    setLearningRate: async ([rate]) => there().setLearningRate(rate),
    chat: async ([messages, options], id) =>
      there().chat(messages, options, (text) => port.postMessage({id, text}), signalOf(id)),
    save: async ([form]) => there().save(form),
    deleteSaved: async () => there().deleteSaved(),
  };
  port.addEventListener('message', ({data}) => {
    if ('abort' in data) {
      aborts.get(data.abort)?.abort();
      return;
    }
    const {id, call, args} = data;
    const answer = async (): Promise<unknown> => answers[call](args as never, id);
    void answer()
      .then(
        (result) => port.postMessage({id, result}),
        async (error: unknown) => port.postMessage({id, error: sentError(await codedError(error))}),
      )
      .finally(() => aborts.delete(id));
  });
  return emit;
}
