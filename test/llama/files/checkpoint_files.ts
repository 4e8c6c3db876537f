import {readFileSync, readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type {referenceNames} from '../checkpoints';

export type FixtureName = (typeof referenceNames)[number];

/** The folder of a checkpoint. */
export function folderOf(name: FixtureName): string {
  return fileURLToPath(new URL(`../../fixtures/llama/${name}`, import.meta.url));
}

/** The files of a checkpoint, with the `config.json` of transformers 5 or 4; new with each call. */
export function readFiles(name: FixtureName, transformers: 4 | 5 = 5): Map<string, Uint8Array> {
  const folder = folderOf(name);
  const files = new Map<string, Uint8Array>(
    readdirSync(folder).map((file) => [file, Uint8Array.from(readFileSync(`${folder}/${file}`))]),
  );
  if (transformers === 4) files.set('config.json', files.get('config.transformers4.json')!);
  files.delete('config.transformers4.json');
  return files;
}

/** A JSON file of a checkpoint. */
export function jsonOf(files: ReadonlyMap<string, Uint8Array>, name: string): JsonFile {
  return JSON.parse(Buffer.from(files.get(name)!).toString()) as JsonFile;
}

/** What a test changes in one. */
export type JsonFile = Record<string, unknown> & {weight_map: Record<string, unknown>};

/** Writes a JSON file of a checkpoint anew. */
export function editJson(
  files: Map<string, Uint8Array>,
  name: string,
  edit: (json: JsonFile) => void,
): void {
  const json = jsonOf(files, name);
  edit(json);
  files.set(name, Uint8Array.from(Buffer.from(JSON.stringify(json))));
}
