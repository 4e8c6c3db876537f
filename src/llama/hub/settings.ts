/** What the environment says of the Hub, under the names that Python's huggingface_hub reads. */
import {readFileSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';
import {HUB} from '../../files/hub_name';
import type {HubAccess} from './hub_request';

/** Where the Hub and its cache are. */
export interface HubSettings extends HubAccess {
  /** The folder of the cache. */
  cache: string;
  /** Whether nothing may be asked of the Hub. */
  isOffline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws Error if `HF_ENDPOINT` is not a URL, or if the file with the token cannot be read. */
export function hubSettings(owner: string, env: Environment = process.env): HubSettings {
  /** The first of some variables that is set, and not to nothing. */
  const given = (...names: string[]): string | undefined =>
    names.map((name) => env[name]?.trim()).find(Boolean);
  const endpoint = (given('HF_ENDPOINT') ?? HUB).replace(/\/+$/, '');
  if (!/^https?:\/\//i.test(endpoint) || !URL.canParse(endpoint)) {
    throw new Error(
      `${owner}: the environment variable HF_ENDPOINT must be an http(s) URL, such as ${HUB}; got '${endpoint}'`,
    );
  }
  const caches = given('XDG_CACHE_HOME') ?? join(homedir(), '.cache');
  const home = pathOf(given('HF_HOME') ?? join(caches, 'huggingface'));
  const tokenFile = pathOf(given('HF_TOKEN_PATH') ?? join(home, 'token'));
  return {
    endpoint,
    token: checkedToken(
      owner,
      given('HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN') ?? readToken(owner, tokenFile),
    ),
    giveToken:
      "put a token of yours into the environment variable HF_TOKEN, or run 'hf auth login'",
    isNeither: 'neither a folder here nor',
    cache: pathOf(given('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub')),
    isOffline: isOn(given('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE')),
  };
}

/**
 * A token, without line breaks.
 *
 * @throws Error, without the token in it, if no header can have it.
 */
function checkedToken(owner: string, text: string | null): string | null {
  const token = text?.replace(/[\r\n]/g, '').trim();
  if (!token) return null;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new Error(
    `${owner}: the token of the Hugging Face Hub, from the environment variable HF_TOKEN or the file of 'hf auth login', has characters ` +
      'that no token has; copy it anew',
  );
}

/** The token that `hf auth login` leaves. */
function readToken(owner: string, file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw new Error(
      `${owner}: the token of the Hugging Face Hub cannot be read: ${(error as Error).message}; its place follows from the environment ` +
        'variables HF_TOKEN_PATH, HF_HOME and XDG_CACHE_HOME',
      {cause: error},
    );
  }
}

function pathOf(text: string): string {
  return text.replace(/^~(?=$|[\\/])/, homedir());
}

function isOn(value = ''): boolean {
  return ['1', 'ON', 'YES', 'TRUE'].includes(value.toUpperCase());
}
