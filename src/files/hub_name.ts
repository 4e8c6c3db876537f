/** Names of models on the Hugging Face Hub, and where they stand in what a source is called. */

/** A model of the Hub. */
export interface HubName {
  /** `owner/name`. */
  id: string;
  /** A branch, a tag or a commit. */
  revision: string;
}

/** Where the Hub is, unless `HF_ENDPOINT` says otherwise. */
export const HUB = 'https://huggingface.co';

/** The branch that is meant where no revision is named. */
const MAIN = 'main';

/** Letters, digits, `-`, `_` and `.`, neither first nor last a `-` or `.`, as the Hub allows. */
const PART = /^\w(?:[\w.-]{0,94}\w)?$/;
/** As git allows, without characters that have a meaning in a path or a URL. */
const REVISION = /^[\w.+-]+(?:\/[\w.+-]+)*$/;

/**
 * The model that a text such as `owner/name` or `owner/name@revision` names; null if it cannot be such a name. A text may be both
 * such a name and the path of a folder.
 */
export function parseHubName(text: string): HubName | null {
  const at = text.indexOf('@');
  const [id, revision] = at < 0 ? [text, MAIN] : [text.slice(0, at), text.slice(at + 1)];
  const parts = id.split('/');
  const isId =
    parts.length === 2 && parts.every((part) => PART.test(part)) && !/--|\.\.|\.git$/.test(id);
  const isRevision = REVISION.test(revision) && !/(^|\/)\.|\.\./.test(revision);
  return isId && isRevision ? {id, revision} : null;
}

/** `owner/name`, with the revision where it is not `main`. */
export function hubNameText({id, revision}: HubName): string {
  return revision === MAIN ? id : `${id}@${revision}`;
}

/** The URL below which the files of a model are. */
export function hubFilesUrl(endpoint: string, {id, revision}: HubName): string {
  return `${endpoint}/${id}/resolve/${encodeURIComponent(revision)}`;
}

/** The model of a folder in a cache of the Hub, or of a URL on it; null for other places. */
export function hubNameOfPlace(place: string): HubName | null {
  const match =
    /[\\/]models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]([\da-f]{40})[\\/]?$/.exec(place) ??
    /^https?:\/\/[^/]+\/([\w.-]+)\/([\w.-]+)\/resolve\/((?:[\w.+-]|%2[BF])+)\/?$/i.exec(place);
  if (!match) return null;
  const [, owner, name, revision] = match;
  return parseHubName(`${owner}/${name}@${decodeURIComponent(revision!)}`);
}
