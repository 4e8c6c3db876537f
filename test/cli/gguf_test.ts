import {mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {getLlamaWeights, loadLlama} from '../../src/llama';
import {defaultBackend} from '../support/backends';
import {ggufPath} from '../llama/files/gguf/fixtures';
import {runCli} from './run_cli';

describe('tfjs-owlore with a GGUF file', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-cli-gguf-'))));
  after(() => rmSync(folder, {recursive: true}));

  const runJson = async (...args: string[]): Promise<Record<string, unknown>> => {
    const {code, stdout, stderr} = await runCli([...args, '--backend', defaultBackend, '--json']);
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  const weightsOf = async (path: string): ReturnType<typeof getLlamaWeights> => {
    const {model} = await loadLlama(path);
    const weights = await getLlamaWeights(model);
    model.dispose();
    return weights;
  };

  it('fine-tunes it, and saves a folder that goes on from there', async function () {
    this.timeout(30_000);
    const {numTensors} = tf.memory();
    const data = join(folder, 'data.jsonl');
    const chat = [
      {role: 'user', content: 'the cat'},
      {role: 'assistant', content: 'sat on the mat'},
    ];
    writeFileSync(data, `${JSON.stringify({messages: chat})}\n`.repeat(6));
    const output = join(folder, 'run');
    const model = ggufPath('qwen2');
    const options = ['--batch-size', '2', '--max-length', '32', '--method', 'full'];
    await runJson('finetune', '--model', model, '--data', data, '--output', output, ...options);
    const saved = join(output, 'model');
    expect(readdirSync(saved)).to.have.members([
      ...['config.json', 'generation_config.json', 'model.safetensors', 'chat_template.jinja'],
      ...['tokenizer.json', 'tokenizer_config.json', 'README.md'],
    ]);
    const [given, trained] = [await weightsOf(model), await weightsOf(saved)];
    expect([...trained.keys()]).to.have.members([...given.keys()]);
    for (const [name, {shape, values}] of trained) {
      const before = given.get(name)!;
      expect(shape, name).to.deep.equal(before.shape);
      const moves = values.map((value, i) => Math.abs(value - before.values[i]!));
      const farthest = moves.reduce((max, move) => Math.max(max, move), 0);
      // three steps by Adam at the default rate go no farther
      expect(farthest, name).to.be.within(1e-5, 1e-3);
    }
    const prompt = ['--prompt', 'the cat', '--chat', '--max-new-tokens', '3'];
    const before = await runJson('generate', '--model', model, ...prompt);
    const after = await runJson('generate', '--model', saved, ...prompt);
    expect(after['promptTokens']).to.equal(before['promptTokens']);
    expect(tf.memory().numTensors).to.equal(numTensors);
  });

  it('says so if it is not there', async () => {
    const args = ['generate', '--model', join(folder, 'no.gguf'), '--prompt', 'x'];
    const {code, stderr} = await runCli(args);
    expect(code).to.equal(2);
    expect(stderr).to.match(/--model must be .* a GGUF file.* there is no such .*no\.gguf'/);
  });
});
