/**
 * Generation of texts by a model, a token of all of them a step, as a process that `npm run bench -- performance` gives its steps to.
 *
 *   tsx bench/contenders/generation_contender.ts '{"folder": "…", "texts": 8, "tokens": 60}'
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {generateBatch, loadLlama} from '../../src/llama';
import {startMemoryMeter} from '../../src/memory/meter';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {serveSteps} from '../harness/serve_steps';
import {heapBytes} from '../harness/wasm_backend';

export interface GenerationOptions {
  /** The model's. */
  folder: string;
  texts: number;
  /** The most that are asked for: of all steps. */
  tokens: number;
}

/** Tokens of a prompt. */
const PROMPT = 32;

/** Holds a generation back after each token of all texts. */
class Writer {
  /** Of the last tokens' ids, and one for each: what two runs must have in common. */
  sum = 0;
  private reached = signal();
  private permitted = signal();

  constructor(private readonly texts: number) {}

  /** A text has a token more; the first ones come at the prompts' ends, which are read one by one. */
  async take(id: number, text: number): Promise<void> {
    this.sum = (text === 0 ? 0 : this.sum) + id + 1;
    if (text < this.texts - 1) return;
    this.reached.give();
    await this.permitted.given;
  }

  /** Resolves when all texts have a token more. */
  get token(): Promise<void> {
    return this.reached.given;
  }

  goOn(): void {
    const {permitted} = this;
    [this.reached, this.permitted] = [signal(), signal()];
    permitted.give();
  }
}

function signal(): {given: Promise<void>; give: () => void} {
  let give!: () => void;
  const given = new Promise<void>((resolve) => (give = resolve));
  return {given, give};
}

const {folder, texts, tokens} = JSON.parse(process.argv[2]!) as GenerationOptions;

await serveSteps(async () => {
  if (!(await loadBackend('wasm'))) return {needs: howToGet.wasm};
  await tf.setBackend('wasm');
  const {model, config} = await loadLlama(folder);
  const prompts = Array.from({length: texts}, (_, text) =>
    Array.from({length: PROMPT}, (_, i) => (7919 * i + 31 * text) % config.vocabSize),
  );
  const meter = startMemoryMeter();
  const writer = new Writer(texts);
  const all = generateBatch(model, prompts, {
    ...{batchSize: texts, maxNewTokens: tokens + 1},
    onToken: (id, _ids, text) => writer.take(id, text),
  });
  // what it throws is thrown by the step that waits for it
  await Promise.race([all, writer.token]);
  return {
    about: {parameters: model.countParams(), versions: {tfjs: tf.version_core}},
    step: async () => {
      writer.goOn();
      await Promise.race([all, writer.token]);
      return writer.sum;
    },
    memory: () => ({tensors: meter.peak(), wasm: heapBytes()}),
  };
});
