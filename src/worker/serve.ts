/** A worker's side of the wire to its page. */
import {checkFlag} from '../common/options';
import {selectBackend, type BackendOptions, type SelectedBackend} from './backend';
import {asBadOption, FineTuningError, sentError} from './errors';
import {codedError} from './failure';
import {inspect} from './inspect';
import type {Calls, SentEvent, ToPage, ToWorker} from './messages';
import type {Outcome} from './events';
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
  let program: Promise<TrainingProgram> | null = null;
  const emit: Training['emit'] = (event, data) => port.postMessage({event, data} as SentEvent);
  const there = async (): Promise<TrainingProgram> => {
    if (program) return program;
    throw new FineTuningError('bad-option', 'the worker has no training yet');
  };
  // at once, so that what is asked for meanwhile waits for it
  const train = async (
    prepare: () => Promise<Omit<Training, 'emit' | 'selectBackend'>>,
  ): Promise<Outcome> => {
    program = prepare().then(
      (training) => new TrainingProgram({...training, emit, selectBackend: select}),
    );
    return (await program).run();
  };
  const signalOf = (id: number): AbortSignal => {
    const controller = new AbortController();
    aborts.set(id, controller);
    return controller.signal;
  };

  const answers: Answers = {
    start: ([options]) =>
      train(async () => {
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
        return {owner, settings, store, isToTrain: true};
      }),
    resumeRun: ([run, {train: isToTrain = true, ...options}]) =>
      train(async () => {
        const owner = 'resumeInWorker';
        asBadOption(() => checkFlag(owner, 'train', isToTrain));
        const store = await RunStore.open(owner, run);
        const {settings} = store.file!;
        const given = {...settings, ...options, model: await store.model(), data: await store.data()}; // prettier-ignore
        const resolved = resolveSettings(owner, given as SentOptions);
        return {owner, settings: resolved, store, isToTrain};
      }),
    inspect: async ([options], id) =>
      inspect(resolveSettings('inspectInWorker', options), select, signalOf(id), (progress) =>
        port.postMessage({id, progress}),
      ),
    pause: async () => (await there()).pause(),
    resume: async () => (await there()).resume(),
    checkpoint: async () => (await there()).checkpoint(),
    stop: async () => (await there()).stop(),
    setLearningRate: async ([rate]) => (await there()).setLearningRate(rate),
    async chat([messages, options], id) {
      const signal = signalOf(id);
      const program = await there();
      return program.chat(messages, options, (text) => port.postMessage({id, text}), signal);
    },
    save: async ([form]) => (await there()).save(form),
    deleteSaved: async () => (await there()).deleteSaved(),
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
