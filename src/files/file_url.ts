/** Texts that are URLs of files or paths of folders. */

/** Whether a text is an http(s) URL, by how it begins. */
export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/** Whether a text can be the path of a folder: not empty, and no URL. */
export function isFolderPath(text: string): boolean {
  return text !== '' && !text.includes('\0') && !/^[a-z][a-z\d+.-]+:\/\//i.test(text);
}

/** A file behind a URL. */
export interface FileUrl {
  /** The URL of its folder, with all that follows the path. */
  folder: string;
  /** Its name, without the encoding of URLs. */
  file: string;
}

/** @throws Error if it is no URL, or the end of its path is not encoded as that of one. */
export function splitFileUrl(owner: string, source: string): FileUrl {
  if (!URL.canParse(source)) throw new Error(`${owner}: '${source}' is not a URL`);
  const url = new URL(source);
  const end = url.pathname.lastIndexOf('/') + 1;
  const name = url.pathname.slice(end);
  const file = decodedName(name);
  if (file === null)
    throw new Error(`${owner}: the URL's '${name}' is not encoded as a URL must be`);
  url.pathname = url.pathname.slice(0, end);
  return {folder: url.href, file};
}

/** The name of the file behind a URL, as far as it has one. */
export function fileOfUrl(source: string): string {
  if (!URL.canParse(source)) return source;
  const name = new URL(source).pathname.split('/').at(-1)!;
  return decodedName(name) ?? name;
}

/** Null if it is not encoded. */
function decodedName(name: string): string | null {
  try {
    return decodeURIComponent(name);
  } catch {
    return null;
  }
}
