/** Where a model's files are: what a user names becomes files to read. */
import {isUrl} from '../../files/file_url';
import {parseHubName, type HubName} from '../../files/hub_name';
import {nodeModule} from '../../files/node_module';
import {openSource} from '../../files/open_source';
import type {FileSource, ModelSource, RequestOptions} from '../../files/source';
import type {DownloadOptions, HubSource} from '../hub/hub_source';
import {SINGLE_FILE} from './checkpoint';
import {isModelFile, openModelSource} from './model_source';

/** Options of whatever reads a model's files. */
export interface SourceOptions {
  /** For files behind a URL or on the Hub: `fetch`'s options, such as `headers` and `signal`, and `timeout` in milliseconds; default none. */
  request?: RequestOptions;
  /** Called as a file of a model on the Hub is downloaded: with its name, the bytes that are there, and all; default none. */
  onDownload?: (file: string, bytes: number, total: number) => void;
}

type OpenHub = (owner: string, name: HubName, options: DownloadOptions) => HubSource;

/** Null in a page, which has no cache of files. */
let openHub: OpenHub | null = null;

/** Provides the Hub with its cache of files, in Node; null: as in a page. */
export function provideHub(open: OpenHub | null): void {
  openHub = open;
}

/**
 * Opens the files of a model. A name on the Hub is that only if there is no folder of that name.
 *
 * @param owner What messages start with.
 * @throws as `openSource`.
 */
export async function openNamedSource(
  owner: string,
  source: ModelSource,
  {request, onDownload}: SourceOptions,
): Promise<FileSource & Partial<HubSource>> {
  if (typeof source !== 'string' || isModelFile(source))
    return openModelSource(owner, source, request);
  const name = parseHubName(source);
  if (openHub === null) {
    if (!name) return openSource(owner, source, request);
    return (await import('../hub/kept_source')).openKept(owner, name, {request, onDownload});
  }
  if (name && !(await exists(source))) return openHub(owner, name, {request, onDownload});
  if (source.endsWith('.safetensors') && !isUrl(source)) return besideFile(owner, source);
  return openSource(owner, source, request);
}

async function exists(path: string): Promise<boolean> {
  const {stat} = nodeModule('node:fs/promises');
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The folder of a file with weights, in which that file has them: alone, or as one of several if its name says so. */
async function besideFile(owner: string, path: string): Promise<FileSource> {
  const {stat} = nodeModule('node:fs/promises');
  const {basename, dirname} = nodeModule('node:path');
  const stats = await stat(path).catch(() => null);
  // a folder may have such a name
  if (!stats?.isFile()) return openSource(owner, path);
  const folder = openSource(owner, dirname(path));
  const file = basename(path);
  const isShard = /-\d{5}-of-\d{5}\.safetensors$/.test(file);
  return {
    name: folder.name,
    async open(wanted) {
      if (wanted !== SINGLE_FILE) return folder.open(wanted);
      return isShard ? null : folder.open(file);
    },
  };
}
