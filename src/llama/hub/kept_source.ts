/** The files of a model on the Hub in a page: each is downloaded into the browser's storage when it is opened, and read from there. */
import {sha1} from '@noble/hashes/legacy.js';
import {sha256} from '@noble/hashes/sha2.js';
import {bytesToHex, utf8ToBytes} from '@noble/hashes/utils.js';
import {sayOnce} from '../../common/say_once';
import {isNamed} from '../../files/handle_files';
import {HUB, hubFilesUrl, hubNameText, type HubName} from '../../files/hub_name';
import {mapSource} from '../../files/map_source';
import {openSource} from '../../files/open_source';
import {exclusively} from '../../files/page_locks';
import type {SourceFile} from '../../files/source';
import {checkSourcePath} from '../../files/source_path';
import {describeModel, type HubFile, type HubModel} from './describe_model';
import {GIVE_TOKEN, HubUnreachableError, urlOf, type Asked, type HubAccess} from './hub_request';
import type {DownloadOptions, HubSource} from './hub_source';
import {keptFiles, type KeptFiles} from './kept_models';
import {transfer, type Hash} from './transfer';

/** What tests choose. */
export interface KeptOptions extends DownloadOptions {
  /** Where the Hub is. */
  endpoint?: string;
  /** Bytes of a part. */
  part?: number;
}

/**
 * Opens a model of the Hub in a page. If the Hub cannot be reached, what was kept is used, and a message says so, once. A page that has no
 * storage, or no room in it, reads the files from the Hub's URLs.
 */
export async function openKept(
  owner: string,
  name: HubName,
  {request = {}, onDownload, pauses = [0, 1, 3], endpoint = HUB, part}: KeptOptions,
): Promise<HubSource> {
  const kept = await keptFiles(name.id, part).catch(() => null);
  const settings: HubAccess = {endpoint, token: null, giveToken: GIVE_TOKEN, isNeither: 'not'};
  const asked: Asked = {owner, name, settings, request, pauses};
  let opened: Promise<HubModel> | undefined;
  return {
    name: hubNameText(name),
    async open(path) {
      checkSourcePath(owner, path);
      const model = await (opened ??= openModel(asked, kept));
      const file = model.files.get(path);
      if (!file) return null;
      if (!kept) return openAtHub(asked, model.commit, path);
      return openFile(asked, kept, model.commit, {...file, path}, onDownload);
    },
    async hub() {
      const {commit} = await (opened ??= openModel(asked, kept));
      return {id: name.id, revision: commit};
    },
  };
}

async function openModel(asked: Asked, kept: KeptFiles | null): Promise<HubModel> {
  const {owner, name} = asked;
  try {
    const model = await describeModel(asked);
    // a storage that is full may have the files
    const note = async (): Promise<void> => kept?.note(name.revision, model);
    await exclusively(`model ${name.id}`, note).catch(() => undefined);
    return model;
  } catch (error) {
    if (!(error instanceof HubUnreachableError)) throw error;
    const reason = error.message.replace(`${owner}: `, '');
    const model = await kept?.model(name.revision);
    if (!model) {
      throw new Error(
        `${owner}: the browser keeps no '${hubNameText(name)}', and the Hub cannot be reached (${reason})`,
        {cause: error},
      );
    }
    const as = `'${hubNameText(name)}' is taken from the browser's storage, as of commit ${model.commit.slice(0, 8)}`;
    sayOnce('info', `${owner}: the Hub cannot be reached (${reason}); ${as}`);
    return model;
  }
}

async function openFile(
  asked: Asked,
  kept: KeptFiles,
  commit: string,
  file: HubFile & {path: string},
  onDownload: DownloadOptions['onDownload'],
): Promise<SourceFile | null> {
  const {owner, name, request} = asked;
  const {path, hash, size} = file;
  const read = async (): Promise<SourceFile | null> => {
    const content = await kept.content(file);
    return content && mapSource(owner, {[path]: content}).open(path);
  };
  const there = await read();
  if (there) return there;
  const wanted = {...file, url: urlOf(asked, commit, path)};
  try {
    const bring = async (): Promise<void> => {
      // another tab may have brought it
      if (await kept.content(file)) return;
      const arrived = await kept.arrived(file);
      const report = (bytes: number): void => onDownload?.(path, bytes, size);
      try {
        await transfer(asked, wanted, arrived, () => newHash(file), report);
        await arrived.finish();
      } finally {
        await arrived.close();
      }
    };
    await exclusively(`content ${hash}`, bring, request.signal);
  } catch (error) {
    if (!isNamed(error, 'QuotaExceededError')) throw error;
    await kept.drop(file);
    const megabytes = (size / 1e6).toFixed(1);
    sayOnce(
      'warn',
      `${owner}: the browser has no room to keep ${path} of '${name.id}', ${megabytes} MB; it comes from the Hub at each visit`,
    );
    return openAtHub(asked, commit, path);
  }
  return read();
}

/** A file as it comes from the Hub, at each visit. */
function openAtHub(
  {owner, name: {id}, settings: {endpoint}, request}: Asked,
  commit: string,
  path: string,
): Promise<SourceFile | null> {
  return openSource(owner, hubFilesUrl(endpoint, {id, revision: commit}), request).open(path);
}

/** Git's hash is of a line with the size, and the content. */
function newHash({algorithm, size}: HubFile): Hash {
  const hash =
    algorithm === 'sha256' ? sha256.create() : sha1.create().update(utf8ToBytes(`blob ${size}\0`));
  return {update: (bytes) => hash.update(bytes), hex: () => bytesToHex(hash.digest())};
}
