/** The file that a command writes its result to: never one that it reads, and another one only if the user says so. */
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  openSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import {dirname, join} from 'node:path';
import {removeLeftovers} from '../files/folder_commit';
import {beginReplacing, createFile, kindOf} from '../files/own_files';
import type {Context} from './command';
import {isFullDisk} from './full_disk';
import {flag, onlyOnCommandLine} from './options';
import {messageOf, UsageError} from './usage_error';

/** Beside `--output`. */
export const overwrite = onlyOnCommandLine(flag('replace the file of --output, if there is one'));

/** What a command writes to, and the options whose files it reads: paths, URLs and names of the Hub. */
interface OutputSettings {
  output?: string | undefined;
  overwrite: boolean;
  model: string;
  adapter?: string | undefined;
  data?: string | undefined;
  prompts?: string | undefined;
  chatTemplate?: string | undefined;
}

/**
 * Checks that a command may write its result, before it begins; changes nothing. A pipe or a device may be written to, and so may what a
 * link leads to that the user has named.
 *
 * @throws UsageError if the file is one that the command reads, also under another name, or if it is there and `overwrite` is false.
 */
export function checkOutputFile(settings: OutputSettings, {given, configFile}: Context): void {
  const {output, model, adapter, data, prompts, chatTemplate} = settings;
  const found = output === undefined ? null : statsOf(output);
  if (output === undefined || !found?.isFile()) return;
  const called = given.get('output')!;
  const inputs: Record<string, string | undefined> = {
    ...{
      '--model': model,
      '--adapter': adapter,
      '--data': data,
      '--prompts': prompts,
      '--chat-template': chatTemplate,
      '--config': configFile,
    },
  };
  for (const [name, path] of Object.entries(inputs)) {
    if (path === undefined || !filesOf(path).some((file) => isSame(file, found))) continue;
    throw new UsageError(
      `${called}: '${output}' is ${statsOf(path)?.isDirectory() ? `a file of ${name} '${path}'` : `the file of ${name}`}, which is read; ` +
        'name another one',
    );
  }
  if (settings.overwrite) return;
  throw new UsageError(
    `${called}: there is a file '${output}' already; name another one, or give --overwrite, which replaces it`,
  );
}

/** A file that a command is writing its result to. */
export interface OutputFile {
  /** Writes all of a text, or throws. */
  write(text: string): void;
  /** Ends the file. One that is to be replaced is replaced now. */
  close(): void;
  /** Gives up: a file that was to be replaced stays as it was. */
  abort(): void;
}

/**
 * Opens the file for writing. One that has come since it was checked is not replaced. With `overwrite` the older file stays until
 * `close`, so that a command that fails or is killed leaves it; it keeps its permissions, and a link to it leads to the new one.
 */
export async function openOutputFile(output: string, overwrite: boolean): Promise<OutputFile> {
  const found = overwrite ? statsOf(output) : null;
  if (found?.isFile()) {
    const path = realpathSync(output);
    accessSync(path, constants.W_OK);
    await removeLeftovers(dirname(path));
    const {file, put, drop} = beginReplacing(path);
    fchmodSync(file, found.mode & 0o777);
    const close = (): void => {
      put();
      closeSync(file);
    };
    return {write: writerTo(file), close, abort: drop};
  }
  const kind = kindOf(output);
  // at its end: a file to which a link leads by now is not emptied
  const file = kind === 'link' || kind === 'other' ? openSync(output, 'a') : createFile(output);
  const close = (): void => closeSync(file);
  return {write: writerTo(file), close, abort: close};
}

/** An error of the system as one that names the file, and what helps. */
export function unwritable(command: string, output: string, cause: unknown): Error {
  const way = isFullDisk(cause) ? 'make room there, or name another file' : 'name another file';
  return new Error(
    `${command}: '${output}' cannot be written: ${messageOf(cause)}; ${way} as --output`,
    {cause},
  );
}

/** Unlike `writeSync`, it writes all of a text, or throws. */
function writerTo(file: number): (text: string) => void {
  return (text) => writeFileSync(file, text);
}

/** What a path that is read stands for: a file, or those of the folder that it is or is in, as those of a model. */
function filesOf(path: string): Stats[] {
  const stats = statsOf(path);
  if (!stats) return [];
  const folder = stats.isDirectory() ? path : path.endsWith('.safetensors') ? dirname(path) : null;
  const beside =
    folder === null ? [] : readdirSync(folder).map((name) => statsOf(join(folder, name)));
  return [stats, ...beside.filter((each) => each !== null)];
}

/** Of what a path leads to; null if that is nothing, or the text is no path. */
function statsOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

/** By its number on the disk, which second names and links share. */
function isSame(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}
