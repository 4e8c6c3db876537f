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
const MAX_BYTES = 1e6;

/**
 * The paths of files in the folder of a run, with `/` between their parts, and of folders with one at their end. Each is on the list, and
 * the list on the disk, before it is made; so what a killed run has left is on it, too.
 */
export class FileList {
  private constructor(
    private readonly file: string,
    private readonly paths: Set<string>,
    /** Folders in which files are made whose names are not known before. */
    private readonly making: Set<string> = new Set(),
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
    const {paths, making, file} = FileList.read(folder)!;
    const lines = [
      HEADER,
      ...[...making].map((path) => makingLine(path, false)),
      ...[...paths].map(quoted),
    ];
    closeSync(replaceFile(file, `${lines.join('\n')}\n`));
    return new FileList(file, paths, making);
  }

  /**
   * The list in a folder; null if there is none.
   *
   * @throws Error if it is of another version.
   */
  static read(folder: string): FileList | null {
    const file = join(folder, FILE_LIST);
    if (kindOf(file) !== 'file') return null;
    const [header, ...lines] = readFile(file, MAX_BYTES).toString('utf8').split('\n');
    const version = Number(/"version":(\d{1,9})\}$/.exec(header!)?.[1]);
    if (header !== headerOf(version)) return null;
    if (version !== VERSION) {
      throw new Error(
        `'${folder}' is the run of another version of tfjs-owlore (format ${version}; this one has ${VERSION}): ` +
          'go on with that one, or take another folder',
      );
    }
    const list = new FileList(file, new Set());
    lines.forEach((line) => list.take(line));
    return list;
  }

  has(path: string): boolean {
    return this.paths.has(path);
  }

  /** Whether files of any name may be the run's in a folder: it was killed while they were made. */
  isMaking(folder: string): boolean {
    return this.making.has(folder);
  }

  /** Adds what is about to be made. */
  add(...paths: string[]): void {
    this.append(paths.filter((path) => !this.paths.has(path)).map(quoted));
  }

  /**
   * Makes files of which nobody knows the names before, in a folder where nothing is.
   *
   * @param make Makes them.
   * @param madePaths Gives their paths then.
   */
  addMade<T>(folder: string, make: () => T, madePaths: () => string[]): T {
    this.append([makingLine(folder, false)]);
    const result = make();
    this.append([...madePaths().map(quoted), makingLine(folder, true)]);
    return result;
  }

  private append(lines: string[]): void {
    if (lines.length === 0) return;
    const descriptor = openToAppend(this.file);
    try {
      appendWhole(descriptor, lines.map((line) => `${line}\n`).join(''));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    lines.forEach((line) => this.take(line));
  }

  /** Takes a line; nothing of one that is none, as the last one may be cut off. */
  private take(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return;
    }
    if (typeof value === 'string') this.paths.add(value);
    const {folder, isMade} = (value ?? {}) as {folder?: unknown; isMade?: unknown};
    if (typeof folder !== 'string') return;
    if (isMade === true) this.making.delete(folder);
    else this.making.add(folder);
  }
}

const quoted = (path: string): string => JSON.stringify(path);

/** A line for a folder in which files are made whose names are not known before: before that, and after it. */
const makingLine = (folder: string, isMade: boolean): string => JSON.stringify({folder, isMade});
