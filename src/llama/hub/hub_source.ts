/** The files of a model on the Hub: each is downloaded into the cache when it is opened, and read from there. */
import {setTimeout as sleep} from 'node:timers/promises';
import {mkdir} from 'node:fs/promises';
import {FolderInUseError, lockFolder, type FolderLock} from '../../files/folder_lock';
import {folderSource} from '../../files/folder_source';
import {TIMEOUT, timeoutRange} from '../../files/http_get';
import {hubNameText, type HubName} from '../../files/hub_name';
import type {FileSource, RequestOptions} from '../../files/source';
import {checkSourcePath} from '../../files/source_path';
import {checkNumber} from '../../common/options';
import {cachedModels, ModelCache, sizeOf, writingTo} from './cache';
import {describeModel, type HubFile, type HubModel} from './describe_model';
import {download} from './download';
import {HubUnreachableError, urlOf, type Asked} from './hub_request';
import {hubSettings, type HubSettings} from './settings';

/** How a model is downloaded. */
export interface DownloadOptions {
  request?: RequestOptions;
  /** Called as a file comes: with its path, the bytes that are there, and all. */
  onDownload?: (path: string, bytes: number, total: number) => void;
  /** Seconds before each further attempt at a download that brings hardly anything any more; default 0, 1, 3. */
  pauses?: readonly number[];
}

/** Milliseconds between two looks at whether another download has ended. */
const LOOK = 200;
/** Models or revisions in a message. */
const SHOWN = 5;

/** Notes that were written, once a process: several functions open the same model, each under its own name. */
const written = new Set<string>();

/** The files of a model on the Hub. */
export interface HubSource extends FileSource {
  /** The model with the commit that they are of. */
  hub(): Promise<HubName>;
}

/**
 * Opens a model of the Hub. The environment says where the Hub and the cache are, and has the token; see `hubSettings`. If the Hub
 * cannot be reached, or must not be by `HF_HUB_OFFLINE`, the cache is used as it is, and a message says so, once.
 *
 * @param owner What messages start with.
 */
export function hubSource(
  owner: string,
  name: HubName,
  {request = {}, onDownload, pauses = [0, 1, 3]}: DownloadOptions,
): HubSource {
  const {timeout = TIMEOUT} = request;
  checkNumber(owner, 'request.timeout (in milliseconds)', timeout, timeoutRange);
  const settings = hubSettings(owner);
  const asked: AskedByProcess = {owner, name, settings, request, pauses};
  const cache = new ModelCache(settings.cache, name.id);
  let opened: Promise<OpenedModel> | undefined;
  /** Whether files that the cache lacks cannot be had. */
  let isOfCache = false;
  return {
    get name() {
      return `${hubNameText(name)}${isOfCache ? ' (as far as it is in the cache)' : ''}`;
    },
    async open(path) {
      checkSourcePath(owner, path);
      const {commit, files} = await (opened ??= openModel(asked, cache));
      isOfCache = files === null;
      if (files) {
        const file = files.get(path);
        if (!file) return null;
        if (!(await cache.has(commit, path, file.size))) {
          const wanted = {...file, path, url: urlOf(asked, commit, path)};
          await lockedFor(asked, cache, () => fetchFile(asked, cache, commit, wanted, onDownload));
        }
      }
      const folder = folderSource(owner, cache.snapshot(commit));
      return folder.open(path);
    },
    async hub() {
      const {commit} = await (opened ??= openModel(asked, cache));
      return {id: name.id, revision: commit};
    },
  };
}

/** With the user's environment. */
interface AskedByProcess extends Asked {
  settings: HubSettings;
}

/** A revision, with its files unless only the cache knows them. */
type OpenedModel = Pick<HubModel, 'commit'> & {files: HubModel['files'] | null};

async function openModel(asked: AskedByProcess, cache: ModelCache): Promise<OpenedModel> {
  const {name, settings} = asked;
  if (settings.isOffline) return openCached(asked, cache, 'HF_HUB_OFFLINE is set');
  try {
    const model = await describeModel(asked);
    // a cache that can only be read is as good, as long as it has the files
    await cache.writeRef(name.revision, model.commit).catch(() => undefined);
    return model;
  } catch (error) {
    if (!(error instanceof HubUnreachableError)) throw error;
    const reason = error.message.replace(`${asked.owner}: `, '');
    return openCached(asked, cache, `the Hub cannot be reached (${reason})`);
  }
}

/** The model as the cache has it. */
function openCached(
  {owner, name, settings}: AskedByProcess,
  cache: ModelCache,
  reason: string,
): OpenedModel {
  const commit = cache.commitOf(name.revision);
  if (commit !== null) {
    const note = `${reason}; '${hubNameText(name)}' is taken from the cache, as of commit ${commit.slice(0, 8)}`;
    if (!written.has(note)) console.info(`${owner}: ${note}`);
    written.add(note);
    return {commit, files: null};
  }
  const revisions = cache.revisions();
  const has =
    revisions.length > 0 ? `of it ${listed(revisions)}` : listed(cachedModels(settings.cache));
  throw new Error(
    `${owner}: '${hubNameText(name)}' is neither a folder here nor in the cache '${settings.cache}', which has ${has}; ${reason}`,
  );
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'no model';
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  return `${names.slice(0, SHOWN).join(', ')}${more}`;
}

async function fetchFile(
  asked: Asked,
  cache: ModelCache,
  commit: string,
  wanted: HubFile & {path: string; url: string},
  onDownload: DownloadOptions['onDownload'],
): Promise<void> {
  const {path, hash, size} = wanted;
  const what = `${path}, ${(size / 1e6).toFixed(1)} MB,`;
  const write = <T>(body: () => Promise<T>): Promise<T> =>
    writingTo(asked.owner, cache.cache, what, body);
  // another process may have brought it meanwhile, or another revision has the same
  if (await cache.has(commit, path, size)) return;
  if ((await sizeOf(cache.blob(hash))) !== size) {
    await download(asked, wanted, cache.blob(hash), write, (bytes) =>
      onDownload?.(path, bytes, size),
    );
  }
  await write(() => cache.link(commit, path, hash));
}

/** Runs `body` while no other process downloads the same model, once there is none. */
async function lockedFor<T>(
  {owner, name, request}: Asked,
  {cache, locks}: ModelCache,
  body: () => Promise<T>,
): Promise<T> {
  await writingTo(owner, cache, 'a lock', () => mkdir(locks, {recursive: true}));
  let lock: FolderLock | undefined;
  for (let isNoted = false; !lock;) {
    try {
      lock = await writingTo(owner, cache, 'a lock', () => lockFolder(owner, locks));
    } catch (error) {
      if (!(error instanceof FolderInUseError)) throw error;
      if (!isNoted)
        console.info(`${owner}: waiting for another download of '${name.id}': ${error.message}`);
      isNoted = true;
      await sleep(LOOK, undefined, {signal: request.signal ?? undefined});
    }
  }
  try {
    return await body();
  } finally {
    lock.release();
  }
}
