/** What all cells of a setting start from: its data as files, and the protocol by which their results can be compared. */
import {createHash} from 'node:crypto';
import {createReadStream, existsSync, mkdirSync, readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {messageOf, UsageError} from '../../src/cli/usage_error';
import {writeWhole} from './files';
import {FORMAT, hashOf, type Protocol} from './records';
import type {Given, Setting, SettingData} from './settings';

/** The files that cells read, under a folder of work. */
export interface Prepared {
  model: string;
  files: Record<'train' | 'validation' | 'test' | 'neutral' | 'curve', string>;
  /** No part of the protocol, since not all cells are asked. */
  questions: string;
  protocol: Protocol;
  /** Where the trainings of this protocol work, and their scores are. */
  folder: string;
}

/** Reads the data of a setting and writes them as files, in a subfolder of `work`. */
export async function prepare(setting: Setting, given: Given, work: string): Promise<Prepared> {
  const weights = join(given.model, 'model.safetensors');
  if (!existsSync(weights)) {
    throw new UsageError(`--model: there is no ${weights}; give the folder of the model`);
  }
  const data = await readData(setting, given);
  const folder = join(work, setting.name);
  mkdirSync(join(folder, 'data'), {recursive: true});
  const {questions = [], ...texts} = data;
  const parts = {...texts, curve: data.validation.slice(0, setting.curveExamples)};
  const hashes: Record<string, string> = {model: await hashOfFile(weights)};
  const files: Record<string, string> = {};
  const examples: Record<string, number> = {};
  for (const [name, records] of Object.entries(parts)) {
    if (records.length === 0) throw new UsageError(`--data: there are no examples for ${name}`);
    const text = records.map((record) => `${JSON.stringify(record)}\n`).join('');
    const path = join(folder, 'data', `${name}.jsonl`);
    writeIfOther(path, text);
    files[name] = path;
    examples[name] = records.length;
    hashes[name] = createHash('sha256').update(text).digest('hex');
  }
  const questionsFile = join(folder, 'data', 'questions.json');
  writeIfOther(questionsFile, JSON.stringify(questions));
  const {training, methodOptions, neutral, calibration, curveExamples, backend} = setting;
  const protocol: Protocol = {
    ...{format: FORMAT, setting: setting.name, package: packageVersion(), tfjs: tf.version_core},
    ...{
      backend,
      training,
      methodOptions,
      evaluation: {neutral, curveExamples, calibration},
      hashes,
      examples,
    },
  };
  return {
    model: given.model,
    files,
    questions: questionsFile,
    protocol,
    folder: join(folder, hashOf(protocol)),
  };
}

async function readData(setting: Setting, given: Given): Promise<SettingData> {
  try {
    return await setting.read(given);
  } catch (cause) {
    if (setting.data === null) throw cause;
    throw new UsageError(`--data: ${messageOf(cause)}; it must be ${setting.data}`, {cause});
  }
}

function packageVersion(): string {
  return (createRequire(import.meta.url)('tfjs-owlore/package.json') as {version: string}).version;
}

/** Of a file that need not fit into memory. */
async function hashOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path, {highWaterMark: 2 ** 22}))
    hash.update(part as Buffer);
  return hash.digest('hex');
}

/** A file that is right is left alone: a cell that is running may be reading it. */
function writeIfOther(path: string, text: string): void {
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeWhole(path, text);
}
