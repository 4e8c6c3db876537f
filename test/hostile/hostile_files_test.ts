import {cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {locateModel} from '../../src/cli/adapter';
import {readConfigFile} from '../../src/cli/config_file';
import {finetuneOptions} from '../../src/cli/finetune_options';
import {parseJsonObject, parseJsonText} from '../../src/files/json';
import {LayerSamplingCallback, samplingProbabilities} from '../../src/index';
import {parseSafetensors} from '../../src/files/safetensors';
import {createLlama, loadLlama, loadTokenizer, saveLlama, textDataset} from '../../src/llama';
import {loadLora} from '../../src/lora';
import {readConfigJson} from '../../src/llama/files/config_json';
import {readGenerationConfig} from '../../src/llama/files/generation_config';
import {resolveGenerateOptions} from '../../src/llama/generation/generate_options';
import {exportGguf} from '../../src/llama/files/gguf/save_gguf';
import {jsonOf, readFiles} from '../llama/files/checkpoint_files';
import {TOKENIZER_NAMES, tokenizerFiles, tokenizerFolder} from '../llama/text/tokenizers';
import {f32, type TensorEntry} from '../llama/files/gguf/gguf_bytes';
import {editedGguf} from '../llama/files/gguf/fixtures';
import {itAtLength} from '../support/backends';
import {rejection} from '../support/rejection';
import {captureWarnings} from '../support/warnings';
import {bytesOf, damagedBytes, damagedGguf, damagedJson, damagedSafetensors} from './damage';
import {always} from './reads_or_refuses';

const readJson = (path: string): object => JSON.parse(readFileSync(path, 'utf8')) as object;

describe('hostile files are read or refused, in time', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-hostile-'))));
  after(() => rmSync(folder, {recursive: true}));

  it('safetensors', async () => {
    const valid = readFiles('llama2').get('model.safetensors')!;
    await always(damagedSafetensors(valid), /^safetensors: /, parseSafetensors);
  });

  it('checkpoints, with their index, header and config.json', async () => {
    const files = readFiles('llama2');
    const weights = files.get('model.safetensors')!;
    const names = [...parseSafetensors(weights).tensors.keys()];
    const index = {weight_map: Object.fromEntries(names.map((name) => [name, 'a.safetensors']))};
    const cases = fc.oneof(
      damagedJson(jsonOf(files, 'config.json')).map((text) => ({'config.json': bytesOf(text)})),
      damagedBytes(weights).map((bytes) => ({'model.safetensors': bytes})),
      damagedJson(index).map((text) => ({
        'model.safetensors.index.json': bytesOf(text),
        'a.safetensors': weights,
        'model.safetensors': null,
      })),
    );
    const load = async (changes: Record<string, Uint8Array | null>): Promise<void> => {
      const all = new Map(files);
      for (const [name, bytes] of Object.entries(changes)) {
        if (bytes) all.set(name, bytes);
        else all.delete(name);
      }
      const {model} = await loadLlama(all, {kernels: 'none'});
      model.dispose();
    };
    await always(cases, /^loadLlama: /, load, 200);
  });

  const adapter = fileURLToPath(
    new URL('../fixtures/llama_train/llama2_lora_adapter_end', import.meta.url),
  );

  it('adapters', async () => {
    const [config, weights] = ['adapter_config.json', 'adapter_model.safetensors'];
    const valid = readJson(join(adapter, config));
    const tensors = Uint8Array.from(readFileSync(join(adapter, weights)));
    const cases = fc.oneof(
      damagedJson(valid).map((text) => ({[config]: bytesOf(text), [weights]: tensors})),
      damagedSafetensors(tensors).map((bytes) => ({
        [config]: bytesOf(JSON.stringify(valid)),
        [weights]: bytes,
      })),
    );
    const {model} = await loadLlama(readFiles('llama2'), {kernels: 'none'});
    const trainable = model.trainableWeights.length;
    await always(cases, /^loadLora: /, async (files) => {
      const lora = await loadLora(model, files);
      lora.merge();
      lora.remove();
    });
    expect(model.trainableWeights).to.have.length(trainable);
    model.dispose();
  });

  it('adapters, which bring a folder of a model or a name on the Hub, and nothing else', async () => {
    const hostile = join(folder, 'adapter');
    cpSync(adapter, hostile, {recursive: true});
    const path = join(hostile, 'adapter_config.json');
    const valid = readJson(path);
    const model = fileURLToPath(new URL('../fixtures/llama/llama2', import.meta.url));
    const named = fc.constantFrom(
      ...['https://127.0.0.1:1/x', 'HTTP://127.0.0.1:1', '//host/x', '\\\\host\\x', 'file:///x'],
      ...[
        '../adapter',
        '../..',
        '/',
        '~',
        '.',
        '',
        'owner/name',
        'owner/name@x',
        'a/b@../c',
        'main',
      ],
      ...['/dev/stdin', 'C:\\x', 'model\u0000', '\ud800', 'x'.repeat(5000), model, '%2e%2e/x'],
    );
    const chosen = fc
      .record({base_model_name_or_path: named, revision: named})
      .map((edit) => JSON.stringify({...valid, ...edit}));
    const context = {
      given: new Map([['model', 'generate: --model']]),
      console: {note: () => undefined} as never,
    };
    await always(fc.oneof(damagedJson(valid), chosen), /^generate: --model: /, async (text) => {
      writeFileSync(path, text);
      const {source, adapter: found} = await locateModel({model: hostile}, context);
      expect(found).not.to.equal(null);
      const isName = /^[\w.-]+\/[\w.-]+(@[\w.+/-]+)?$/.test(source) && !source.includes('..');
      expect(isName || existsSync(join(source, 'config.json')), source).to.equal(true);
    });
  });

  it('GGUF files', async () => {
    const valid = ['qwen2', 'llama'].map((name) =>
      Uint8Array.from(readFileSync(new URL(`../fixtures/gguf/${name}.gguf`, import.meta.url))),
    );
    const refused = /^(loadLlama|loadTokenizer|encode|decode|applyChatTemplate): /;
    await always(
      fc.oneof(...valid.map(damagedGguf)),
      refused,
      async (bytes) => {
        const source = {'x.gguf': bytes};
        const {model} = await loadLlama(source, {kernels: 'none'});
        model.dispose();
        const tokenizer = await loadTokenizer(source);
        expect(tokenizer.decode(tokenizer.encode('the cat, 12 é😀 </s>'))).to.be.a('string');
      },
      100,
    );
  });

  itAtLength('GGUF files whose vocabulary implies far too many merges', async () => {
    const repeated = (letter: string): string[] =>
      Array.from({length: 1000}, (_, i) => letter.repeat(i + 1));
    const attacks: Array<[tokens: string[], message: RegExp]> = [
      [
        ['a', 'a'.repeat(1001)],
        /token 1 of tokenizer\.ggml\.tokens has 1001 characters, more than/,
      ],
      [
        ['a', 'b', 'c', 'd', 'e'].flatMap(repeated),
        /tokenizer\.ggml\.tokens imply more than 2000000 merges/,
      ],
    ];
    for (const [tokens, message] of attacks) {
      const keys = {
        'tokenizer.ggml.tokens': {list: tokens},
        'tokenizer.ggml.scores': {list: tokens.map(() => f32(0))},
        'tokenizer.ggml.token_type': undefined,
      };
      const tensors = (all: TensorEntry[]): TensorEntry[] =>
        all.map((tensor) => {
          if (!['token_embd.weight', 'output.weight'].includes(tensor.name)) return tensor;
          const dimensions = [tensor.dimensions[0]!, tokens.length];
          const data = new Uint8Array(4 * dimensions[0]! * tokens.length);
          return {...tensor, type: 0, dimensions, data};
        });
      const source = {'x.gguf': await editedGguf('llama', {keys, tensors})};
      expect((await rejection(loadTokenizer(source))).message).to.match(message);
    }
  });

  it('models that become GGUF files, which are then read', async () => {
    const names = ['bytelevel', 'llama3like'] as const;
    const model = createLlama({
      ...{vocabSize: 320, hiddenSize: 16, intermediateSize: 8, numHiddenLayers: 1},
      ...{numAttentionHeads: 2, seed: 1},
    });
    const files = new Map<string, Uint8Array>();
    await saveLlama(model, files);
    model.dispose();
    const cases = fc.oneof(
      ...names.flatMap((name) =>
        ['tokenizer.json', 'tokenizer_config.json'].map((file) =>
          damagedJson(readJson(tokenizerFolder(name) + file)).map((text) => ({name, file, text})),
        ),
      ),
      damagedJson(jsonOf(files, 'config.json')).map((text) => ({
        ...{name: names[0], file: 'config.json', text},
      })),
      damagedSafetensors(files.get('model.safetensors')!).map((bytes) => ({
        ...{name: names[0], file: 'model.safetensors', text: bytes},
      })),
      damagedJson({eos_token_id: [1, 2], bos_token_id: 1}).map((text) => ({
        ...{name: names[0], file: 'generation_config.json', text},
      })),
    );
    const refused = /^(loadLlama|loadTokenizer|encode|export): /;
    const text = 'the cat, 12 é😀 aaab\n\n  </s> <|im_end|>x';
    await always(
      cases,
      refused,
      async ({name, file, text: damaged}) => {
        const bytes = typeof damaged === 'string' ? bytesOf(damaged) : damaged;
        const source = new Map([...files, ...tokenizerFiles(name), [file, bytes]]);
        const target = new Map<string, Uint8Array>();
        await exportGguf(source, target, {dtype: 'Q8_0'});
        const ids = (await loadTokenizer(source)).encode(text);
        try {
          const again = await loadLlama(target, {kernels: 'none'});
          again.model.dispose();
          expect((await loadTokenizer(target)).encode(text)).to.deep.equal(ids);
        } catch (cause) {
          expect.fail(`what was written is not what was read: ${(cause as Error).message}`);
        }
      },
      200,
    );
  });

  it('config.json', async () => {
    const names = ['llama2', 'llama3', 'mistral', 'qwen2', 'qwen3', 'gemma3'] as const;
    const configs = names.flatMap((name) =>
      ([4, 5] as const).map((version) => jsonOf(readFiles(name, version), 'config.json')),
    );
    await always(fc.oneof(...configs.map(damagedJson)), /^test: config\.json/, (text) => {
      readConfigJson('test: config.json', parseJsonObject('test: config.json', bytesOf(text)));
    });
  });

  it('generation_config.json', async () => {
    const valid = {
      ...{do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.9, min_p: 0.1},
      ...{repetition_penalty: 1.1, eos_token_id: [2, 3], max_new_tokens: 9},
    };
    const model = {configJson: {eos_token_id: 4}, vocabSize: 9};
    // whatever it has, generate takes what is made of it
    await always(damagedJson(valid), /^never$/, (text) => {
      captureWarnings(() => {
        const options = readGenerationConfig('test', bytesOf(text), model);
        resolveGenerateOptions('generate', options, {...model, maxPositionEmbeddings: 9});
      });
    });
  });

  it('tokenizers', async () => {
    const cases = TOKENIZER_NAMES.flatMap((name) =>
      ['tokenizer.json', 'tokenizer_config.json'].map((file) =>
        damagedJson(readJson(tokenizerFolder(name) + file)).map((text) => ({name, file, text})),
      ),
    );
    const refused = /^(loadTokenizer|encode|decode|applyChatTemplate): /;
    await always(fc.oneof(...cases), refused, async ({name, file, text}) => {
      const tokenizer = await loadTokenizer(tokenizerFiles(name, {[file]: text}));
      const ids = tokenizer.encode('the cat, 12 é😀 aaab\n\n  </s>');
      expect(ids.every((id) => Number.isInteger(id) && id >= 0)).to.equal(true);
      expect(tokenizer.decode(ids)).to.be.a('string');
      if (!tokenizer.hasChatTemplate) return;
      const messages = [{role: 'user', content: 'x'}];
      expect(tokenizer.applyChatTemplate(messages, {tokenize: false})).to.be.a('string');
    });
  });

  itAtLength('tokenizers whose steps make much of a text', async () => {
    const text = fc.constantFrom('', 'a', 'aa', ' ', '  ', '$&$&', 'ﷺ', 'e'.repeat(100), 5, [
      'aaa',
    ]);
    const pattern = fc.oneof(
      text.map((String) => ({String})),
      fc.constantFrom('.', 'x*', '((.))', '.+', ' ?').map((Regex) => ({Regex})),
    );
    const sequence = fc.constantFrom('A', 'A', 'B').map((id) => ({Sequence: {id, type_id: 0}}));
    const types = {
      normalizer: [
        'Replace',
        'Prepend',
        'NFKC',
        'NFD',
        'Lowercase',
        'BertNormalizer',
        'Precompiled',
      ],
      pre_tokenizer: [
        'Metaspace',
        'ByteLevel',
        'Split',
        'Replace',
        'FixedLength',
        'WhitespaceSplit',
      ],
      post_processor: ['TemplateProcessing', 'ByteLevel'],
      decoder: [
        ...['Replace', 'Fuse', 'BPEDecoder', 'Metaspace', 'WordPiece', 'ByteFallback', 'ByteLevel'],
        ...['Strip', 'CTC'],
      ],
    };
    const steps = (names: readonly string[]): fc.Arbitrary<object> => {
      const step = fc.record({
        ...{type: fc.constantFrom(...names), pattern, content: text, prepend: text, suffix: text},
        ...{replacement: text, behavior: fc.constantFrom('Isolated', 'Removed'), prefix: text},
        ...{invert: fc.boolean(), use_regex: fc.boolean(), add_prefix_space: fc.boolean()},
        ...{single: fc.array(sequence, {maxLength: 3}), length: fc.constantFrom(1, 0, 0.1, 7)},
        ...{handle_chinese_chars: fc.constant(true), start: fc.nat(9), pad_token: text},
      });
      const all = fc.array(step, {minLength: 1, maxLength: 3});
      return fc.tuple(all, fc.constantFrom(1, 3, 40)).map(([few, times]) => {
        const list = Array.from({length: times}, () => few).flat();
        const names = {normalizers: list, pretokenizers: list, processors: list, decoders: list};
        return {type: 'Sequence', ...names};
      });
    };
    const parts = Object.entries(types).map(([part, names]) =>
      steps(names).map((step) => ({[part]: step})),
    );
    const json = readJson(`${tokenizerFolder('bytelevel')}tokenizer.json`);
    const refused = /^(loadTokenizer|encode|decode): /;
    await always(fc.oneof(...parts), refused, async (part) => {
      const files = tokenizerFiles('bytelevel', {'tokenizer.json': {...json, ...part}});
      const tokenizer = await loadTokenizer(files);
      const ids = tokenizer.encode('the cat, 12 é中 aaab'.repeat(50));
      expect(ids.length).to.be.below(300_000);
      expect(tokenizer.decode(ids).length).to.be.below(20_000_000);
    });
  });

  it('chat templates', async () => {
    const {compileChatTemplate} = await import('../../src/llama/text/chat_template');
    const parts = fc.constantFrom(
      ...['{{ ', ' }}', '{% ', ' %}', '{% for m in messages %}', '{% endfor %}', '{% if x %}'],
      ...['{% endif %}', '{% else %}', '{% set x = ', "'a'", ' x', ' ~ ', ' + ', '[x, x]', '{}'],
      ...['m.content', 'messages', "m['role']", '| tojson', '| length', '| join', '| first', '(x)'],
      ...[
        'range(',
        '9',
        ')',
        '[',
        ']',
        '-',
        '{#',
        '#}',
        '{% macro f(x) %}',
        '{% endmacro %}',
        'f(',
      ],
      ...['loop.index0', 'namespace(x=1)', ' is defined', ' not ', "raise_exception('no')", ', '],
      ...[
        'strftime_now("%Y")',
        '.split(',
        '.items()',
        '| sort',
        '| indent(9)',
        '{%- ',
        ' -%}',
        '\n',
      ],
    );
    const text = fc.oneof(
      fc.array(parts, {maxLength: 25}).map((all) => all.join('')),
      fc.string({maxLength: 60}),
    );
    const refused =
      /^(loadTokenizer: the chat template cannot be read|applyChatTemplate: the chat template cannot be applied): /;
    await always(text, refused, (template) => {
      const messages = [{role: 'user', content: 'x'}];
      expect(compileChatTemplate(template)(messages, {x: ['é', {}]})).to.be.a('string');
    });
  });

  itAtLength('chat templates that cost', async () => {
    const {compileChatTemplate} = await import('../../src/llama/text/chat_template');
    const start = fc.constantFrom(
      "'a b' * 1",
      "'x, y'",
      'messages',
      '[messages]',
      'range(9)',
      '[]',
    );
    const operation = fc.constantFrom(
      ...['x ~ x', 'x + x', '[x, x]', "{'a': x}", 'x | list', 'x | sort', 'x | unique | list'],
      ...["x | join('ab')", 'x | tojson', 'x | tojson(indent=9)', 'x | string', 'x | indent(9999)'],
      ...["x.split('')", "x.split(' ')", "x.replace('a', 'aaaa')", 'x | reverse | list', 'x[::-1]'],
      ...[
        "x | map('upper') | list",
        "x | selectattr('role') | list",
        'x.items() | list',
        'x | length',
      ],
      ...['x | upper', 'x.strip()', 'x in x', 'x == x', 'range(x | length)', 'f(x)'],
      ...['raise_exception(x)', 'strftime_now(x)', 'range(x)', 'namespace(x)', 'namespace(a=x)'],
      ...[
        'x < x',
        "{'a': 1}[x]",
        "'a'.startswith(x)",
        '[x, x] | sort',
        "x | replace('a', x)",
        '-x',
      ],
    );
    const turns = fc.constantFrom(1, 20, 3000, 99_999);
    const template = fc
      .record({start, loops: fc.array(fc.tuple(turns, operation), {minLength: 1, maxLength: 3})})
      .map(({start, loops}) => {
        const open = loops.map(
          ([n, op]) => `{% for i in range(${n}) %}{% set ns.x = ${named(op)} %}`,
        );
        return (
          `{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}{% set ns = namespace(x=${start}) %}` +
          `${open.join('')}${'{% endfor %}'.repeat(loops.length)}{{ ns.x }}`
        );
      });
    /** With the variable that a loop keeps. */
    function named(operation: string): string {
      return operation.replaceAll(/\bx\b/g, 'ns.x');
    }
    const refused = /^applyChatTemplate: the chat template cannot be applied: /;
    const apply = (text: string): void => {
      const messages = [{role: 'user', content: 'x'}];
      expect(compileChatTemplate(text)(messages, {})).to.be.a('string');
    };
    await always(template, refused, apply, 20);
  });

  it('lines of data', async () => {
    const messages = [
      {role: 'user', content: 'x'},
      {role: 'assistant', content: 'y'},
    ];
    const line = fc.oneof(
      damagedJson({text: 'the cat'}),
      damagedJson({instruction: 'name it', input: 'a tree', output: 'an oak'}),
      damagedJson({messages}),
      damagedJson({
        system: 'z',
        conversations: [
          {from: 'human', value: 'x'},
          {from: 'gpt', value: 'y'},
        ],
      }),
      damagedJson({question: 'x', answer: 'y', context: 'z'}),
      damagedJson({prompt: messages.slice(0, 1), completion: messages.slice(1)}),
      fc.constantFrom('['.repeat(5000), '{"text":"the cat"}', '', '[', '{"text":"\ud800 cat"}'),
    );
    const bytes = fc.array(line, {minLength: 1, maxLength: 6}).chain((lines) => {
      const valid = bytesOf(lines.join('\n') || ' ');
      return fc.oneof(fc.constant(valid), damagedBytes(valid));
    });
    await readsBatches(bytes);
  });

  it('tables and texts', async () => {
    const part = fc.oneof(
      fc.constantFrom('question', 'answer', 'text', 'system', 'frage', 'the cat', 'é😀', '\ufeff'),
      fc.constantFrom(
        ',',
        '\t',
        ';',
        ',,',
        '"',
        '""',
        '"a, b"',
        "'",
        '\n',
        '\n',
        '\r\n',
        '\r',
        '\n\n',
      ),
      fc.constantFrom(
        'PK\u0003\u0004',
        'PAR1',
        '\0',
        '{',
        '[',
        '{"data": [{',
        '}',
        '__proto__',
        ' ',
      ),
      fc.string({maxLength: 5}),
    );
    const parts = fc.array(part, {maxLength: 40}).map((all) => all.join(''));
    const header = fc.constantFrom(
      '',
      'question,answer\n',
      'prompt\tcompletion\r\n',
      'text\n',
      'a;b\nc;d\n',
    );
    const bytes = fc.tuple(header, parts).chain(([first, rest]) => {
      const valid = bytesOf(first + rest || ' ');
      return fc.oneof(fc.constant(valid), damagedBytes(valid));
    });
    await readsBatches(bytes);
  });

  it('tables with a quote that is never closed, and endless rows', async () => {
    const start = fc.constantFrom(
      'question,answer\n"a',
      'question,answer\na,"b""',
      'question,answer\n"a" b',
      'prompt\tcompletion\n"',
      'text\n"a\n"" "',
      'frage,antwort\na,b\n"',
    );
    const filling = fc.constantFrom(
      'a',
      '"',
      '""',
      'a,',
      '"a"',
      '" ',
      '\n',
      '\t"\t',
      '"\n"',
      ',',
      ' ',
    );
    const cases = fc
      .tuple(start, filling, filling, fc.constantFrom(1000, 300_000))
      .map(([first, a, b, times]) => bytesOf(first + a.repeat(times) + b.repeat(times)));
    await readsBatches(cases, 30);
  });

  /** Takes all batches of files. */
  async function readsBatches(bytes: fc.Arbitrary<Uint8Array>, runs?: number): Promise<void> {
    const tokenizer = await loadTokenizer(tokenizerFolder('bytelevel'));
    const fields = fc.constantFrom(null, {prompt: 'frage', answer: 'antwort'}, {text: '__proto__'});
    const cases = fc.record({bytes, packing: fc.boolean(), shuffle: fc.boolean(), fields});
    await always(
      cases,
      /^textDataset: the data/,
      async ({bytes: data, packing, shuffle, fields: names}) => {
        const options = {maxLength: 8, batchSize: 2, packing, shuffle, fields: names};
        for await (const {xs, ys} of textDataset(data, tokenizer, options)) tf.dispose([xs, ys]);
      },
      runs,
    );
  }

  const blocks = ['a', 'b', 'c'];

  it('scores', async () => {
    const valid = {kind: 'outlier', blocks, scores: [0.5, 1, 0]};
    const cases = fc.oneof(damagedJson(valid), damagedJson([1, 2, 3]), damagedJson({ratios: [1]}));
    await always(cases, /^(samplingProbabilities: |scores\.json )/, (text) => {
      const scores = parseJsonText('scores.json', text) as number[];
      captureWarnings(() => {
        const {probabilities} = samplingProbabilities(scores, {gamma: 1});
        expect(probabilities.every((p) => p >= 0 && p <= 1)).to.equal(true);
      });
    });
  });

  it('schedules', async () => {
    const valid = {blocks, interval: 5, periods: [['a'], ['b', 'c'], []]};
    const refused = /^(LayerSamplingCallback: |block-history\.json )/;
    await always(damagedJson(valid), refused, (text) => {
      const blockHistory = parseJsonObject(
        'block-history.json',
        bytesOf(text),
      ) as unknown as typeof valid;
      new LayerSamplingCallback({blockHistory});
    });
  });

  it('configurations of a run', async () => {
    const path = join(folder, 'run.json');
    const valid = {
      ...{method: 'owlore', model: folder, data: path, output: 'runs/1', seed: 3, steps: 5},
      ...{learningRate: 1e-3, rank: 8, gamma: 2, scores: 'outlier', tau: 'auto', packing: true},
    };
    await always(damagedJson(valid), /run\.json/, (text) => {
      writeFileSync(path, text);
      readConfigFile(path, finetuneOptions);
    });
  });
});
