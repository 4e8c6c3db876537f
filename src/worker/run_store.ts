/** A run in the browser's storage, as the worker that trains it has it. */
import type {DirectoryHandle} from '../files/directory_handle';
import {isDirectoryHandle} from '../files/directory_handle';
import {isNamed, namesIn, unlessNotFound, write} from '../files/handle_files';
import type {ModelSource} from '../files/source';
import {isModelFile} from '../llama/files/model_source';
import {asBadOption, FineTuningError} from './errors';
import type {HistoryEntry} from './events';
import type {SentOptions, WorkerModel} from './options';
import {checkRunName} from './run_name';
import {
  lockName,
  PROGRESS_FILE,
  readJsonFile,
  readRunFile,
  RUN_FILE,
  runsFolder,
  type Rest,
  type RunFile,
  type RunProgress,
} from './runs';

/** Files of a model's folder that are needed to load it again, and its card, not those of folders in it; a GGUF file has a name of its own kind. */
const OF_A_MODEL = /^(README\.md|[^/]+\.(json|safetensors|jinja|model))$/i;

/** With which the names of folders begin that have a model in a form. */
const SAVED = 'saved-';

/** Keeps a run from other tabs, and this worker awake, until it ends. */
export async function holdRun(run: string): Promise<void> {
  const {locks} = (globalThis.navigator ?? {}) as Partial<Navigator>;
  if (!locks) return;
  const asked = new Promise<boolean>((resolve, reject) => {
    locks
      .request(lockName(run), {ifAvailable: true}, async (lock) => {
        resolve(lock !== null);
        if (lock) await new Promise(() => undefined);
      })
      .catch(reject);
  });
  const isHeld = await asked.catch((error: unknown) => {
    // where a page may keep nothing, there is nothing that tabs share
    if (isNamed(error, 'SecurityError')) return true;
    throw error;
  });
  if (isHeld) return;
  throw new FineTuningError(
    'in-use',
    `the run '${run}' is open in another tab or window; go on there, or close it first`,
  );
}

/** The folder of a run. */
export class RunStore {
  private constructor(
    readonly name: string,
    private readonly folder: DirectoryHandle,
    /** What it was begun with; null as long as it has not begun. */
    public file: RunFile | null,
    /** What was noted of it last; null as long as it has not begun. */
    private noted: RunProgress | null,
  ) {}

  /**
   * A new run, in a folder of its own, which this worker holds.
   *
   * @throws FineTuningError if there is a run of this name.
   */
  static async create(owner: string, name: string): Promise<RunStore> {
    const store = await RunStore.createNew(name);
    if (store) return store;
    throw new FineTuningError(
      'bad-option',
      `${owner}: there is a run '${name}' in the browser's storage; go on with it by resumeInWorker, delete it by deleteRun, or give another name`,
    );
  }

  /** As {@link RunStore.create}, under the first of `name`, `name 2`, `name 3`, … that no run has. */
  static async createNamedLike(name: string): Promise<RunStore> {
    for (let number = 1; ; number++) {
      const each = number === 1 ? name : `${name} ${number}`;
      try {
        const store = await RunStore.createNew(each);
        if (store) return store;
      } catch (error) {
        // another tab begins one of this name now
        if (!(error instanceof FineTuningError && error.code === 'in-use')) throw error;
      }
    }
  }

  /** Null if there is a run of this name. */
  private static async createNew(name: string): Promise<RunStore | null> {
    const runs = await runsFolder();
    const find = (): Promise<DirectoryHandle | null> =>
      unlessNotFound(runs.getDirectoryHandle(name));
    if (await readRunFile(await find())) return null;
    await holdRun(name);
    const there = await find();
    if (await readRunFile(there)) return null;
    // what is left of one that never began
    if (there) await runs.removeEntry(name, {recursive: true});
    return new RunStore(name, await runs.getDirectoryHandle(name, {create: true}), null, null);
  }

  /** @throws FineTuningError if there is no such run, or another tab has it. */
  static async open(owner: string, name: string): Promise<RunStore> {
    asBadOption(() => checkRunName(owner, name));
    const runs = await runsFolder();
    const find = (): Promise<DirectoryHandle | null> =>
      unlessNotFound(runs.getDirectoryHandle(name));
    if (await readRunFile(await find())) await holdRun(name);
    // until then another tab may have deleted it
    const folder = await find();
    const file = await readRunFile(folder);
    if (folder && file) {
      const noted = await readJsonFile<RunProgress>(folder, PROGRESS_FILE);
      const store = new RunStore(name, folder, file, noted);
      // what a page that is closed had no more use for
      await store.deleteSaved();
      return store;
    }
    throw new FineTuningError(
      'bad-option',
      `${owner}: there is no run '${name}' in the browser's storage; listRuns says which there are`,
    );
  }

  /** Its checkpoints. */
  checkpoints(): Promise<DirectoryHandle> {
    return this.folder.getDirectoryHandle('checkpoints', {create: true});
  }

  /** An empty folder for what is saved in a form. */
  async saved(form: string): Promise<DirectoryHandle> {
    const name = SAVED + form;
    await unlessNotFound(this.folder.removeEntry(name, {recursive: true}));
    return this.folder.getDirectoryHandle(name, {create: true});
  }

  /** Deletes what is saved in any form. */
  async deleteSaved(): Promise<void> {
    for (const name of await namesIn(this.folder))
      if (name.startsWith(SAVED)) await this.folder.removeEntry(name, {recursive: true});
  }

  /**
   * Writes all that the run needs to go on.
   *
   * @param place A name or URL by which the model is found again; null: its files are copied.
   * @param onCopied Called with the bytes that were copied.
   */
  async begin(
    {model, data, ...settings}: Pick<SentOptions, 'model' | 'data'> & Record<string, unknown>,
    place: string | null,
    about: Pick<RunFile, 'method' | 'steps' | 'scores'>,
    onCopied: (bytes: number) => void,
  ): Promise<void> {
    let copied = 0;
    const copy = async (to: DirectoryHandle, name: string, file: Blob): Promise<void> => {
      await write(to, name, file);
      copied += file.size;
      onCopied(copied);
    };
    const texts = await this.folder.getDirectoryHandle('data', {create: true});
    const names = Object.keys(data);
    // by their numbers, as a name may be one that no storage takes
    for (const [i, file] of Object.values(data).entries())
      await copy(texts, String(i), typeof file === 'string' ? new Blob([file]) : file);
    let modelFiles: string[] = [];
    if (place === null) {
      const files = await filesOf(model);
      modelFiles = [...files.keys()];
      const folder = await this.folder.getDirectoryHandle('model', {create: true});
      for (const [i, file] of [...files.values()].entries()) await copy(folder, String(i), file);
    }
    this.file = {version: 1, settings, model: place, modelFiles, data: names, ...about};
    await this.progress({step: 0, loss: null, heldOut: null});
    // the last, so that the run is there as a whole
    await this.writeJson(RUN_FILE, this.file);
  }

  /** Notes how far the run is: what a list shows, and what its checkpoint does not have yet. */
  async progress(progress: Omit<RunProgress, 'changed'>): Promise<void> {
    const noted = {...progress, changed: Date.now()};
    await this.writeJson(PROGRESS_FILE, noted);
    this.noted = noted;
  }

  /** How it rests, as it was noted last; null: it does not. */
  get rest(): Rest | null {
    return this.noted?.rest ?? null;
  }

  /** What was said after the checkpoint of a step. */
  saidSince(step: number): HistoryEntry[] {
    // that of another step was written before the checkpoint
    return this.noted?.step === step ? (this.noted.since ?? []) : [];
  }

  /** Where its model is. */
  async model(): Promise<ModelSource> {
    const {model, modelFiles} = this.file!;
    return model ?? this.given('model', modelFiles);
  }

  /** Its examples, by the names of their files. */
  async data(): Promise<Record<string, Blob>> {
    return Object.fromEntries(await this.given('data', this.file!.data));
  }

  /** Files that it was given, by their names. */
  private async given(folder: string, names: readonly string[]): Promise<Map<string, Blob>> {
    const files = await this.folder.getDirectoryHandle(folder);
    const entries = names.map(async (name, i): Promise<[string, Blob]> => {
      const handle = await files.getFileHandle(String(i));
      return [name, await handle.getFile()];
    });
    return new Map(await Promise.all(entries));
  }

  private writeJson(name: string, value: object): Promise<void> {
    return write(this.folder, name, new Blob([JSON.stringify(value)]));
  }
}

/** The files of a folder, as views of them. */
export async function filesIn(folder: DirectoryHandle): Promise<Map<string, File>> {
  const files = new Map<string, File>();
  for (const name of await namesIn(folder)) {
    // not what another program keeps beside a model in a folder
    const handle = await folder.getFileHandle(name).catch(() => null);
    if (handle) files.set(name, await handle.getFile());
  }
  return files;
}

/** The files that a model needs. */
export async function filesOf(model: WorkerModel): Promise<Map<string, Blob>> {
  const all: Iterable<[string, Uint8Array | Blob]> = isDirectoryHandle(model)
    ? await filesIn(model)
    : model instanceof Map
      ? model
      : Object.entries(model as Record<string, Uint8Array | Blob>);
  const files = [...all].filter(([name]) => OF_A_MODEL.test(name) || isModelFile(name));
  return new Map(
    files.map(([name, file]) => [
      name,
      file instanceof Blob ? file : new Blob([file as Uint8Array<ArrayBuffer>]),
    ]),
  );
}
