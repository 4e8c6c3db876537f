/** The list that a run keeps of what it has written: nothing else in its folder is replaced or removed. */
import {closeSync, fsyncSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {
  appendWhole,
  createFile,
  kindOf,
  openToAppend,
  readFile,
  replaceFile,
} from '../files/own_files';

/** Its name in the folder of the run. */
export const FILE_LIST = 'files.jsonl';

/** Its first line; a change that older versions cannot read gets the next number. */
const VERSION = 2;
const headerOf = (version: number): string => JSON.stringify({format: 'tfjs-owlore run', version});
const HEADER = headerOf(VERSION);

/** Of a list: a run has some dozen paths, and a name for each file of events. */
const MOST_BYTES = 1e6;

/**
 * The paths of files in the folder of a run, with `/` between their parts, and of folders with one at their end. Each is on the list, and
 * the list on the disk, before it is made; so what a killed run has left is on it, too.
 */
export class FileList {
  private constructor(
    private readonly file: string,
    private readonly paths: Set<string>,
  ) {}

  /** Begins the list of a new run. */
  static create(folder: string): FileList {
    const file = join(folder, FILE_LIST);
    const descriptor = createFile(file);
    try {
      writeFileSync(descriptor, `${HEADER}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    return new FileList(file, new Set());
  }

  /** Goes on with the list of a run; the caller has read it before. */
  static open(folder: string): FileList {
    const {paths, file} = FileList.read(folder)!;
    const lines = [HEADER, ...[...paths].map((path) => JSON.stringify(path))];
    closeSync(replaceFile(file, `${lines.join('\n')}\n`));
    return new FileList(file, paths);
  }

  /**
   * The list in a folder; null if there is none.
   *
   * @throws Error if it is of another version.
   */
  static read(folder: string): FileList | null {
    const file = join(folder, FILE_LIST);
    if (kindOf(file) !== 'file') return null;
    const [header, ...lines] = readFile(file, MOST_BYTES).toString('utf8').split('\n');
    const version = Number(/"version":(\d{1,9})\}$/.exec(header!)?.[1]);
    if (header !== headerOf(version)) return null;
    if (version !== VERSION) {
      throw new Error(
        `'${folder}' is the run of another version of tfjs-owlore (format ${version}; this one has ${VERSION}): ` +
          'go on with that one, or take another folder',
      );
    }
    return new FileList(file, new Set(lines.flatMap(parsePath)));
  }

  has(path: string): boolean {
    return this.paths.has(path);
  }

  /** Adds what is about to be made. */
  add(...paths: string[]): void {
    const added = paths.filter((path) => !this.paths.has(path));
    if (added.length === 0) return;
    const descriptor = openToAppend(this.file);
    try {
      appendWhole(descriptor, added.map((path) => `${JSON.stringify(path)}\n`).join(''));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    for (const path of added) this.paths.add(path);
  }
}

/** Nothing if it is no path: the last line may be cut off. */
function parsePath(line: string): string[] {
  try {
    const path: unknown = JSON.parse(line);
    return typeof path === 'string' ? [path] : [];
  } catch {
    return [];
  }
}
