import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {readGgufHeader} from '../../src/llama/files/gguf/header';
import {loadLlama, loadTokenizer} from '../../src/llama';
import {applyLora} from '../../src/lora';
import {fileOf} from '../llama/files/gguf/gguf_bytes';
import {ggufPath} from '../llama/files/gguf/fixtures';
import {Interruption} from '../../src/cli/interruption';
import {runProgram} from '../../src/cli/program';
import {onFullDisk} from '../support/full_disk';
import {onSmallDisk} from '../support/small_disk';
import {createModelFolder, type ModelFolder} from './model_folder';
import {runCli, TextSink} from './run_cli';

describe('tfjs-owlore export', () => {
  let folder: ModelFolder;
  before(
    async () => void (folder = await createModelFolder({hiddenSize: 32, intermediateSize: 32})),
  );
  after(() => folder.remove());

  const typesIn = async (path: string): Promise<string[]> => {
    const {tensors} = await readGgufHeader('test', fileOf(Uint8Array.from(readFileSync(path))));
    return [...new Set(tensors.map(({type}) => type.name))].sort();
  };

  it('writes a model that the other commands read, with its tokenizer, and says how large it is', async () => {
    const {numTensors} = tf.memory();
    const output = join(folder.path, 'model.gguf');
    const {code, stdout, stderr} = await runCli([
      'export',
      '--model',
      folder.model,
      '--output',
      output,
    ]);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^.*model\.gguf: F16, \d+ kB\n$/);
    expect(await typesIn(output)).to.deep.equal(['F16', 'F32']);
    const tokenizer = await loadTokenizer(output);
    expect(tokenizer.encode('the cat sat')).to.deep.equal(folder.tokenizer.encode('the cat sat'));
    const prompt = ['--prompt', 'the cat', '--chat', '--max-new-tokens', '4', '--json'];
    const [theirs, ours] = [
      await runCli(['generate', '--model', folder.model, ...prompt]),
      await runCli(['generate', '--model', output, ...prompt]),
    ];
    const textOf = ({stdout: text}: typeof ours): unknown =>
      (JSON.parse(text) as {ids: unknown}).ids;
    expect(textOf(ours)).to.deep.equal(textOf(theirs));
    expect(tf.memory().numTensors).to.equal(numTensors);
  });

  it('has --dtype, --format and --json, and makes one GGUF file of another', async () => {
    const output = join(folder.path, 'q8.gguf');
    const args = ['export', '--model', ggufPath('qwen2'), '--format', 'gguf', '--dtype', 'Q8_0'];
    const {code, stdout, stderr} = await runCli([...args, '--output', output, '--json']);
    expect(code, stderr).to.equal(0);
    const bytes = readFileSync(output).length;
    expect(JSON.parse(stdout)).to.deep.equal({output, format: 'gguf', dtype: 'Q8_0', bytes});
    expect(await typesIn(output)).to.deep.equal(['F32', 'Q8_0']);
    const wrong = await runCli([...args.slice(0, -1), 'Q4_0', '--output', output]);
    expect(wrong.code).to.equal(2);
    expect(wrong.stderr).to.include("--dtype must be one of 'F16', 'BF16', 'Q8_0'; got 'Q4_0'");
  });

  it('replaces no file that it is not told to replace, and none that it reads', async () => {
    const output = folder.write('older.gguf', 'older');
    const args = ['export', '--model', folder.model, '--output'];
    const refused = await runCli([...args, output]);
    expect([refused.code, readFileSync(output, 'utf8')]).to.deep.equal([2, 'older']);
    expect(refused.stderr).to.match(/there is a file '.*older\.gguf' already; .* --overwrite/);
    const own = await runCli([...args, join(folder.model, 'config.json'), '--overwrite']);
    expect(own.code).to.equal(2);
    expect(own.stderr).to.match(/is a file of --model '.*', which is read/);
    expect((await runCli([...args, output, '--overwrite'])).code).to.equal(0);
    expect(readFileSync(output, 'latin1').slice(0, 4)).to.equal('GGUF');
  });

  it('refuses a tokenizer that no GGUF file can say, before it reads a weight', async () => {
    const model = await createModelFolder();
    const path = join(model.model, 'tokenizer.json');
    const json = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({...json, normalizer: {type: 'Lowercase'}}));
    const output = join(model.path, 'x.gguf');
    const {code, stderr} = await runCli(['export', '--model', model.model, '--output', output]);
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /the tokenizer cannot be in a GGUF file: its normalizer is \{"type":"Lowercase"\}/,
    );
    expect(existsSync(output)).to.equal(false);
    model.remove();
  });

  it('stops at Ctrl-C, and leaves nothing', async () => {
    const output = join(folder.path, 'stopped.gguf');
    const [stdout, stderr, interruption] = [new TextSink(), new TextSink(), new Interruption()];
    const args = ['export', '--model', folder.model, '--output', output];
    const running = runProgram(args, {stdin: process.stdin, stdout, stderr, interruption});
    setImmediate(() => interruption.receive('SIGINT'));
    expect(await running, stderr.text).to.equal(130);
    const left = readdirSync(folder.path).filter((name) => name.includes('stopped'));
    expect(left).to.deep.equal([]);
  });

  it('needs room for the whole file, and leaves an older one on a full disk', async () => {
    const place = join(folder.path, 'disk');
    mkdirSync(place);
    const output = join(place, 'x.gguf');
    const args = ['export', '--model', folder.model, '--output', output];
    await onSmallDisk(place, async () => {
      const {code, stderr} = await runCli(args);
      expect(code).to.equal(2);
      expect(stderr).to.match(
        /--output: the file takes \d+ kB, and where '.*x\.gguf' is \d+ kB are free; make room there/,
      );
      expect(readdirSync(place)).to.deep.equal([]);
    });
    writeFileSync(output, 'older');
    const {code, stderr} = await onFullDisk(
      place,
      () => true,
      () => runCli([...args, '--overwrite']),
    );
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /cannot write the file '.*x\.gguf': ENOSPC.*; an older one is as it was/,
    );
    expect(readFileSync(output, 'utf8')).to.equal('older');
    expect(readdirSync(place)).to.deep.equal(['x.gguf']);
  });

  it('takes no adapter, and says what does', async () => {
    const adapter = join(folder.path, 'adapter');
    const {model} = await loadLlama(folder.model, {kernels: 'none'});
    const lora = applyLora(model, {rank: 2});
    await lora.save(adapter, {baseModel: folder.model});
    lora.remove();
    model.dispose();
    const output = join(folder.path, 'adapted.gguf');
    const {code, stderr} = await runCli(['export', '--model', adapter, '--output', output]);
    expect(code, stderr).to.equal(2);
    expect(stderr).to.match(
      /--model: '.*adapter' is an adapter; put it into its model first: merge --model .*adapter --output merged/,
    );
    expect(existsSync(output)).to.equal(false);
  });
});
