/** Asks the Hub, and says in words of the user what it refuses. */
import {get, NoAnswerError, TIMEOUT, type Answer} from '../../files/http_get';
import {hubFilesUrl, hubNameText, type HubName} from '../../files/hub_name';
import type {RequestOptions} from '../../files/source';

/** Where the Hub is, and who asks. */
export interface HubAccess {
  /** Without a slash at the end. */
  endpoint: string;
  /** The user's token; null if there is none. */
  token: string | null;
  /** How the user gives one, in words. */
  giveToken: string;
  /** What a name that the Hub does not know is, before 'a model'. */
  isNeither: 'neither a folder here nor' | 'not';
}

/** A model of the Hub, and how it is asked for. */
export interface Asked {
  /** What messages start with. */
  owner: string;
  name: HubName;
  settings: HubAccess;
  request: RequestOptions;
  /** Seconds before each further attempt at a download that brings hardly anything any more. */
  pauses: readonly number[];
}

/** The Hub cannot be asked at this time: the cache may do. */
export class HubUnreachableError extends NoAnswerError {}

/** The Hub does not give what was asked for. */
export class HubRefusedError extends Error {
  readonly code = 'refused';
}

/** How the user of a page gives a token. */
export const GIVE_TOKEN =
  "give a token of yours by the option request: {headers: {authorization: 'Bearer …'}}";

/**
 * The answer to GET.
 *
 * @param longest The most milliseconds that it may keep silent, unless the request says.
 * @throws HubUnreachableError if there is none, or one that says to try again later. HubRefusedError if the Hub refuses.
 */
export async function ask(
  asked: Asked,
  url: string,
  headers: Record<string, string> = {},
  longest = TIMEOUT,
): Promise<Answer> {
  const {owner, settings, request} = asked;
  const {timeout = longest, ...options} = request;
  const own = new Headers(request.headers);
  if (settings.token !== null && !own.has('authorization'))
    own.set('authorization', `Bearer ${settings.token}`);
  const requested = {
    ...{owner, url, timeout},
    request: {...options, headers: own},
  };
  let answer: Answer;
  try {
    answer = await get(requested, {'accept-encoding': 'identity', ...headers});
  } catch (error) {
    request.signal?.throwIfAborted();
    throw new HubUnreachableError((error as Error).message, {cause: error});
  }
  const {status, ok} = answer.response;
  if (ok) return answer;
  await answer.cancel();
  if (status === 429 || status >= 500)
    throw new HubUnreachableError(`${owner}: GET ${url} answered ${status}`);
  throw refusal(asked, url, answer.response);
}

function refusal(
  {owner, name, settings, request}: Asked,
  url: string,
  {status, headers}: Response,
): Error {
  const {endpoint, giveToken, isNeither} = settings;
  const hasToken = settings.token !== null || new Headers(request.headers).has('authorization');
  const {id, revision} = name;
  const code = headers.get('x-error-code');
  const say = (text: string): Error => new HubRefusedError(`${owner}: ${text}`);
  if (code === 'GatedRepo') {
    const then = hasToken ? ' with the account of your token' : `, then ${giveToken}`;
    return say(
      `the Hub gives '${id}' only to those who have accepted its conditions (${status}); accept them at ${endpoint}/${id}${then}`,
    );
  }
  if (code === 'RevisionNotFound')
    return say(
      `the model '${id}' has no revision '${revision}' (${status}); ${endpoint}/${id}/tree/main lists its branches and tags`,
    );
  if (code === 'EntryNotFound') return say(`GET ${url} answered ${status}: there is no such file`);
  // without a token the Hub does not tell a model that is not there from one that is private
  if (status === 404 || (status === 401 && !hasToken)) {
    const way = hasToken ? 'your token must be of an account that may see it' : giveToken;
    return say(
      `'${hubNameText(name)}' is ${isNeither} a model that the Hub shows (${status}); ` +
        `check the name; for a model that is private, ${way}`,
    );
  }
  if (status === 401)
    return say(`the Hub does not accept your token (401); ${giveToken} that is valid`);
  if (status === 416)
    return say(
      `GET ${url} has no such bytes; the file was changed while it was downloaded. Try again`,
    );
  const reason = headers.get('x-error-message')?.slice(0, 200);
  return say(
    `GET ${url} answered ${status}${reason ? `: ${reason}` : ''}` +
      (status === 403 ? '; the token must be of an account that may read the model' : ''),
  );
}

/** The URL of a file of a commit. */
export function urlOf({settings, name}: Asked, commit: string, path: string): string {
  const base = hubFilesUrl(settings.endpoint, {id: name.id, revision: commit});
  return `${base}/${path.split('/').map(encodeURIComponent).join('/')}`;
}
