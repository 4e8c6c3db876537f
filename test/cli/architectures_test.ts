import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {generate, loadLlama, type LlamaConfig} from '../../src/llama';
import {describeFastBackends} from '../support/backends';
import {createModelFolder, texts} from './model_folder';
import {runCli} from './run_cli';

/** Architectures that are not LLaMA's, from the folder of a model to the text of the fine-tuned one. */
const models: Array<[modelType: string, config: Partial<LlamaConfig>]> = [
  ['qwen3', {architecture: 'qwen3', headDim: 6, numKeyValueHeads: 1}],
  [
    'gemma3_text',
    {
      ...{architecture: 'gemma3', headDim: 6, numKeyValueHeads: 1, tieWordEmbeddings: true},
      ...{slidingWindow: 5, ropeTheta: 1e6, ropeLocalBaseFreq: 1e4, queryPreAttnScalar: 8},
      layerTypes: ['sliding_attention', 'sliding_attention', 'full_attention'],
    },
  ],
];

describeFastBackends('tfjs-owlore with other architectures', (backend) => {
  for (const [modelType, config] of models) {
    it(`fine-tunes a ${modelType}, and writes with it`, async () => {
      const {numTensors} = tf.memory();
      const folder = await createModelFolder(config);
      const output = join(folder.path, 'run');
      const run = async (...args: string[]): Promise<Record<string, unknown>> => {
        const {code, stdout, stderr} = await runCli([...args, '--backend', backend, '--json']);
        expect(code, stderr).to.equal(0);
        return JSON.parse(stdout) as Record<string, unknown>;
      };
      const data = folder.writeLines('texts.jsonl', texts(12));
      const tuned = await run(
        ...['finetune', '--model', folder.model, '--data', data, '--output', output],
        ...['--steps', '6', '--batch-size', '4', '--max-length', '12', '--learning-rate', '0.02'],
        ...['--gamma', '1', '--rank', '4', '--tau', '3', '--interval', '2', '--seed', '5'],
      );
      const {before, after} = tuned['heldOutLoss'] as {before: number; after: number};
      expect(after).to.be.below(before);
      const model = join(output, 'model');
      const saved = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')) as object;
      expect(saved).to.include({model_type: modelType});

      const written = await run(
        ...['generate', '--model', model, '--prompt', 'the cat', '--max-new-tokens', '8'],
      );
      const loaded = await loadLlama(model);
      const prompt = folder.tokenizer.encode('the cat');
      const {ids} = await generate(loaded.model, prompt, {maxNewTokens: 8});
      expect(written['ids']).to.deep.equal(ids);
      loaded.model.dispose();
      folder.remove();
      expect(tf.memory().numTensors).to.equal(numTensors);
    }).timeout(120_000);
  }
});
