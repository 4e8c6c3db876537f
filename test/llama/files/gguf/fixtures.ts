/** The GGUF models of the fixtures, and others that are made of them. */
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {readGgufHeader} from '../../../../src/llama/files/gguf/header';
import type {MetadataValue} from '../../../../src/llama/files/gguf/metadata';
import {readJson} from '../../../support/fixtures';
import {f32, fileOf, ggufBytes, u32, type TensorEntry, type Value} from './gguf_bytes';

/** One of each architecture. */
export const ggufNames = ['llama', 'qwen2', 'qwen3', 'gemma3'] as const;
/** With a llama whose matrices are k-quants where their rows have whole blocks. */
export const ggufModels = [...ggufNames, 'k_quants'] as const;
export type GgufName = (typeof ggufModels)[number];

/** What transformers makes of a file. */
export interface GgufFixture {
  ids: number[];
  positions: number[];
  atol: number;
  config: Record<string, number | boolean>;
  special: Record<string, string | null>;
  /** `decoded` is missing where it is the text. */
  strings: Array<{text: string; ids: number[]; decoded?: string}>;
  chat?: {messages: Array<{role: string; content: string}>; text: string};
}

export const fixtureOf = (name: GgufName): GgufFixture => readJson(`gguf/${name}`);

export const ggufPath = (name: GgufName): string =>
  fileURLToPath(new URL(`../../../fixtures/gguf/${name}.gguf`, import.meta.url));

export const ggufOf = (name: GgufName): Uint8Array => Uint8Array.from(readFileSync(ggufPath(name)));

/** What is changed in a file. */
export interface Edit {
  /** Keys with other values; undefined: without the key. */
  keys?: Record<string, Value | undefined>;
  tensors?: (tensors: TensorEntry[]) => TensorEntry[];
}

/** Numbers of types by their names. */
const typeIds: Readonly<Record<string, number>> = {
  ...{F32: 0, F16: 1, BF16: 30, Q8_0: 8, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7},
};

/** A fixture's file, written anew with changes. */
export async function editedGguf(name: GgufName, {keys = {}, tensors}: Edit): Promise<Uint8Array> {
  const bytes = ggufOf(name);
  const header = await readGgufHeader('test', fileOf(bytes));
  const kept = [...header.metadata].filter(([key]) => !(key in keys));
  const all: Array<[string, Value]> = [
    ...kept.map(([key, value]): [string, Value] => [key, valueOf(key, value)]),
    ...Object.entries(keys).filter((entry): entry is [string, Value] => entry[1] !== undefined),
  ];
  const entries = header.tensors.map(({name: tensor, type, shape, from, to}) => ({
    ...{name: tensor, type: typeIds[type.name]!, dimensions: [...shape].reverse()},
    data: bytes.subarray(from, to),
  }));
  return ggufBytes({keys: all, tensors: tensors?.(entries) ?? entries});
}

function valueOf(key: string, value: MetadataValue): Value {
  if (Array.isArray(value)) {
    return {list: (value as Array<string | number | boolean>).map((each) => valueOf(key, each))};
  }
  if (typeof value !== 'number') return value;
  return /freq_base|epsilon|scores/.test(key) ? f32(value) : u32(value);
}
