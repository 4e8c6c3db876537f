import {mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {architectureNames, architectures} from '../../../../src/llama/architectures';
import {readGgufHeader} from '../../../../src/llama/files/gguf/header';
import {openModelSource} from '../../../../src/llama/files/model_source';
import {ropeScalingOf} from '../../../../src/llama/files/gguf/rope_freqs';
import {parseSafetensors} from '../../../../src/files/safetensors';
import {loadLlama, loadTokenizer, saveLlama, type ModelSource} from '../../../../src/llama';
import {FileServer} from '../../../files/file_server';
import {f32, fileOf, u32} from './gguf_bytes';
import {readTensors} from '../../../support/fixtures';
import {quoted} from '../../../support/quoted';
import {rejection} from '../../../support/rejection';
import {editedGguf, fixtureOf, ggufModels, ggufOf, ggufPath, type Edit} from './fixtures';

const inGguf = architectureNames.filter((name) => architectures[name].gguf);

describe('models in GGUF files', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-gguf-'))));
  after(() => rmSync(folder, {recursive: true}));

  for (const name of ggufModels) {
    it(`compute what transformers computes of them: ${name}`, async () => {
      const {numTensors} = tf.memory();
      const fixture = fixtureOf(name);
      const {model, config, configJson} = await loadLlama(ggufPath(name));
      const logits = tf.tidy(() => {
        const all = model.predict(tf.tensor2d([fixture.ids], undefined, 'int32')) as tf.Tensor;
        return tf.gather(tf.squeeze(all, [0]), tf.tensor1d(fixture.positions, 'int32'));
      });
      const values = await logits.data();
      const expected = readTensors(`gguf/${name}`).get('logits')!.values;
      let worst = 0;
      for (const [i, value] of values.entries()) {
        worst = Math.max(worst, Math.abs(value - expected[i]!));
      }
      expect(worst).to.be.below(fixture.atol);
      expect(configJson).to.include(fixture.config);
      expect(config.rmsNormEps).to.be.oneOf([1e-5, 1e-6]);
      tf.dispose([logits]);
      model.dispose();
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  it('have k-quants in the one that is named so', async () => {
    const {tensors} = await readGgufHeader('test', fileOf(ggufOf('k_quants')));
    const types = new Map(tensors.map(({name, type}) => [name, type.name]));
    expect([...types.values()]).to.include.members(['Q4_K', 'Q5_K', 'Q6_K', 'F32']);
    expect(types.get('blk.0.attn_q.weight')).to.equal('Q4_K'); // its rows are in another order
  });

  /** The weights of a source as the bytes of a file. */
  const weightsOf = async (source: ModelSource): Promise<Uint8Array> => {
    const file = (await openModelSource('test', source).open('model.safetensors'))!;
    try {
      return Uint8Array.from(await file.read(0, file.size));
    } finally {
      await file.close();
    }
  };

  it('come from a path, a link, a blob of Ollama, a URL, and a file in memory', async () => {
    const bytes = ggufOf('llama');
    const expected = await weightsOf(ggufPath('llama'));
    const link = join(folder, 'link.GGUF');
    symlinkSync(ggufPath('llama'), link);
    const blob = join(folder, `sha256-${'0a'.repeat(32)}`);
    writeFileSync(blob, bytes);
    const files = new Map([['a b.gguf', bytes]]);
    const server = await FileServer.start(files);
    const stream = await FileServer.start(files, {ranges: false, lengths: false});
    try {
      const sources: ModelSource[] = [
        ...[link, blob, {'x.gguf': bytes}, new Map([['y.gguf', new Blob([Buffer.from(bytes)])]])],
        ...[`${server.url}/a%20b.gguf?download=true`, `${stream.url}/a%20b.gguf`],
      ];
      for (const source of sources) {
        expect(Buffer.compare(await weightsOf(source), expected)).to.equal(0);
      }
    } finally {
      await server.close();
      await stream.close();
    }
  });

  it('give the same weights in any pieces', async () => {
    for (const name of ['llama', 'gemma3'] as const) {
      const file = (await openModelSource('test', ggufPath(name)).open('model.safetensors'))!;
      const whole = await file.read(0, file.size);
      expect(parseSafetensors(whole).tensors.size).to.be.above(10);
      for (let from = 0, step = 1; from < file.size; from += step, step = (step * 7919) % 9973) {
        const to = Math.min(from + step, file.size);
        const piece = await file.read(from, to);
        expect(Buffer.compare(piece, whole.subarray(from, to)), `${from} to ${to}`).to.equal(0);
      }
      await file.close();
    }
  });

  it('are saved as a folder of transformers, with their tokenizer', async () => {
    for (const name of ['llama', 'qwen2'] as const) {
      const target = join(folder, name);
      const {model, files} = await loadLlama(ggufPath(name), {kernels: 'none'});
      const paths = await saveLlama(model, target);
      model.dispose();
      expect(paths).to.include.members(['config.json', 'model.safetensors', 'tokenizer.json']);
      const saved = parseSafetensors(await weightsOf(target)).tensors;
      const original = parseSafetensors(await weightsOf(ggufPath(name))).tensors;
      expect([...saved].sort()).to.deep.equal([...original].sort());
      const [ours, again] = await Promise.all([loadTokenizer(files), loadTokenizer(target)]);
      for (const {text, ids} of fixtureOf(name).strings) {
        expect(ours.encode(text)).to.deep.equal(ids);
        expect(again.encode(text)).to.deep.equal(ids);
      }
      const config = JSON.parse(readFileSync(join(target, 'config.json'), 'utf8')) as object;
      expect(config).to.include({model_type: name, ...fixtureOf(name).config});
    }
  });

  it('say how many bytes of weights have been read', async () => {
    const calls: number[][] = [];
    const options = {kernels: 'none', onProgress: (...call: number[]) => calls.push(call)} as const;
    const {model} = await loadLlama(ggufPath('qwen2'), options);
    expect(calls.at(-1)).to.deep.equal([model.countParams() * 4, model.countParams() * 4]);
    model.dispose();
  });

  describe("LLaMA 3's wavelengths", () => {
    const divisors = (dim: number, theta: number, factor: number, length: number, high: number) =>
      Float32Array.from({length: dim / 2}, (_, i) => {
        const wavelength = 2 * Math.PI * theta ** ((2 * i) / dim);
        if (wavelength < length / high) return 1;
        if (wavelength > length) return factor;
        const smooth = (length / wavelength - 1) / (high - 1);
        return 1 / ((1 - smooth) / factor + smooth);
      });

    it('are known again by their divisors', () => {
      for (const [factor, length, high] of [
        [8, 8192, 4],
        [32, 8192, 4],
        [4, 4096, 8],
        [2.5, 2048, 3],
      ] as const) {
        expect(ropeScalingOf(divisors(128, 500_000, factor, length, high), 500_000)).to.deep.equal({
          ...{factor, lowFreqFactor: 1, highFreqFactor: high},
          originalMaxPositionEmbeddings: length,
        });
      }
    });

    it('are refused if they are of another kind', async () => {
      expect(ropeScalingOf([1, 1.5, 7, 2, 8], 10_000)).to.equal(null);
      expect(ropeScalingOf([NaN, 2], 10_000)).to.equal(null);
      expect(ropeScalingOf([0.5, 0.5], 10_000)).to.equal(null);
    });
  });

  const rope = (name: string) => `${name}.rope.scaling`;
  const wrong: Array<[string, 'llama' | 'qwen2' | 'gemma3', Edit, RegExp]> = [
    [
      'another architecture',
      'llama',
      {keys: {'general.architecture': 'gpt2'}},
      new RegExp(`general\\.architecture must be one of ${quoted(inGguf)}; got 'gpt2'`),
    ],
    [
      'no architecture',
      'llama',
      {keys: {'general.architecture': undefined}},
      /the file lacks the key general\.architecture/,
    ],
    [
      'an adapter',
      'llama',
      {keys: {'general.type': 'adapter'}},
      /general\.type is 'adapter'; only the file of a whole model/,
    ],
    [
      'a part',
      'llama',
      {keys: {'split.count': u32(3)}},
      /one of 3 parts of a model; join them with llama-gguf-split --merge/,
    ],
    [
      'a missing size',
      'llama',
      {keys: {'llama.embedding_length': undefined}},
      /lacks the key llama\.embedding_length/,
    ],
    [
      'a size of 0',
      'llama',
      {keys: {'llama.block_count': u32(0)}},
      /llama\.block_count must be an integer of at least 1; got 0/,
    ],
    [
      'a size that is a list',
      'llama',
      {keys: {'llama.feed_forward_length': {list: [u32(64)]}}},
      /must be an integer of at least 1; got \[64\]/,
    ],
    [
      'a text for a number',
      'llama',
      {keys: {'llama.rope.freq_base': 'x'}},
      /freq_base must be a number above 0; got 'x'/,
    ],
    [
      'an epsilon of 0',
      'llama',
      {keys: {'llama.attention.layer_norm_rms_epsilon': f32(0)}},
      /epsilon must be a number above 0; got 0/,
    ],
    [
      'heads that do not divide',
      'llama',
      {keys: {'llama.attention.head_count_kv': u32(3)}},
      /numKeyValueHeads/,
    ],
    [
      'experts',
      'llama',
      {keys: {'llama.expert_count': u32(8)}},
      /llama\.expert_count 8 changes what the model computes and is not supported: it must be 0/,
    ],
    [
      'a key that nobody knows',
      'qwen2',
      {keys: {'qwen2.attention.new': f32(2)}},
      /qwen2\.attention\.new 2 .* it must be absent/,
    ],
    [
      'a window',
      'qwen2',
      {keys: {'qwen2.attention.sliding_window': u32(64)}},
      /sliding_window 64 .* must be 0/,
    ],
    [
      'a cap on logits',
      'gemma3',
      {keys: {'gemma3.final_logit_softcapping': f32(30)}},
      /softcapping 30 .* must be 0/,
    ],
    [
      'wavelengths of YaRN',
      'qwen2',
      {keys: {[`${rope('qwen2')}.type`]: 'yarn'}},
      /qwen2\.rope\.scaling\.type 'yarn' .*only LLaMA 3's/,
    ],
    [
      'longer wavelengths',
      'gemma3',
      {keys: {[`${rope('gemma3')}.type`]: 'linear', [`${rope('gemma3')}.factor`]: f32(8)}},
      /scaling\.factor 8 changes .* only LLaMA 3's stretched wavelengths/,
    ],
    [
      'other divisors',
      'llama',
      {
        tensors: (all) =>
          all.map((each) =>
            each.name === 'rope_freqs.weight'
              ? {...each, data: new Uint8Array(each.data!.length)}
              : each,
          ),
      },
      /"rope_freqs\.weight" are not stretched as LLaMA 3's are/,
    ],
    [
      'a rotary embedding of a part',
      'llama',
      {keys: {'llama.rope.dimension_count': u32(8)}},
      /dimension_count 8 .* must be the width of a head, 16/,
    ],
    [
      'no embedding',
      'llama',
      {tensors: (all) => all.filter(({name}) => name !== 'token_embd.weight')},
      /the file has no tensor "token_embd\.weight"/,
    ],
    [
      'a missing weight',
      'llama',
      {tensors: (all) => all.filter(({name}) => name !== 'blk.0.attn_k.weight')},
      /none of its \d+ tensors is "model\.layers\.0\.self_attn\.k_proj\.weight"/,
    ],
    [
      'an unknown tensor',
      'llama',
      {
        tensors: (all) => [
          ...all,
          {name: 'blk.0.attn_q.bias', dimensions: [8], type: 0, data: new Uint8Array(32)},
        ],
      },
      /"blk\.0\.attn_q\.bias" is no weight of a llama model/,
    ],
    [
      'a block too many',
      'llama',
      {
        tensors: (all) => [
          ...all,
          {name: 'blk.7.attn_norm.weight', dimensions: [32], type: 0, data: new Uint8Array(128)},
        ],
      },
      /it has 13 weights, but the model that its metadata describe has 12 only/,
    ],
    [
      'another shape',
      'llama',
      {keys: {'llama.feed_forward_length': u32(96)}},
      /"blk\.0\.ffn_gate\.weight" must have shape \[96, 32\], of intermediate_size, hidden_size in its metadata; got \[64, 32\]/,
    ],
    [
      'more blocks than any',
      'llama',
      {keys: {'llama.block_count': u32(4e9)}},
      /llama\.block_count must be an integer of at most 256; got 4000000000/,
    ],
    [
      'more blocks than any, with a rule for their types',
      'gemma3',
      {keys: {'gemma3.block_count': u32(4e9)}},
      /gemma3\.block_count must be an integer of at most 256; got 4000000000/,
    ],
  ];
  for (const [title, name, edit, message] of wrong) {
    it(`are refused with ${title}`, async () => {
      const {numTensors} = tf.memory();
      const source = {'m.gguf': await editedGguf(name, edit)};
      const error = await rejection(loadLlama(source));
      expect(error.message)
        .to.match(message)
        .and.match(/^loadLlama: m\.gguf: /);
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  it('are refused if they are not there, or no file', async () => {
    const none = await rejection(loadLlama(join(folder, 'none.gguf')));
    expect(none.message).to.equal(`loadLlama: there is no file ${join(folder, 'none.gguf')}`);
    const server = await FileServer.start(new Map());
    const error = await rejection(loadLlama(`${server.url}/x.gguf`));
    await server.close();
    expect(error.message).to.match(/^loadLlama: there is no file http:.*x\.gguf$/);
    const odd = await rejection(loadLlama('http://127.0.0.1/%zz.gguf'));
    expect(odd.message).to.equal("loadLlama: the URL's '%zz.gguf' is not encoded as a URL must be");
    const wrong = await rejection(loadLlama('http://[x/y.gguf'));
    expect(wrong.message).to.equal("loadLlama: 'http://[x/y.gguf' is not a URL");
  });

  it('are refused if they change between their header and their weights', async () => {
    const path = join(folder, 'changing.gguf');
    writeFileSync(path, ggufOf('qwen2'));
    const source = openModelSource('test', path);
    await (await source.open('config.json'))!.close();
    writeFileSync(path, ggufOf('qwen3'));
    const error = await rejection(source.open('model.safetensors'));
    expect(error.message).to.equal(`test: ${path} was changed while it was read`);
  });
});
