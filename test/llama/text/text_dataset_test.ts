import {
  mkdtempSync,
  openSync,
  rmSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {
  createLlama,
  loadTokenizer,
  sparseCrossEntropy,
  textDataset,
  type LlamaConfig,
  type TextDataset,
  type TextDatasetOptions,
  type TextDatasetState,
  type Tokenizer,
} from '../../../src/llama';
import {problemText, worstFirst} from '../../../src/llama/text/dataset_report';
import type {FieldNames} from '../../../src/llama/text/formats';
import {rejection} from '../../support/rejection';
import {FileServer} from '../../files/file_server';
import {tokenizerFolder} from './tokenizers';
import {itAtLength} from '../../support/backends';

const config: LlamaConfig = {
  vocabSize: 300,
  hiddenSize: 8,
  intermediateSize: 8,
  numHiddenLayers: 1,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
  seed: 1,
};

const bytesOf = (lines: readonly unknown[]): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));

/** Texts that say which they are. */
const numbered = (count: number): Uint8Array =>
  bytesOf(Array.from({length: count}, (_, i) => ({text: `the cat ${i}`})));

describe('textDataset', () => {
  let tokenizer: Tokenizer;
  let folder: string;
  before(async () => {
    tokenizer = await loadTokenizer(tokenizerFolder('bytelevel'));
    folder = mkdtempSync(join(tmpdir(), 'text-dataset-'));
  });
  after(() => rmSync(folder, {recursive: true}));

  interface Batch {
    shape: number[];
    ids: number[][];
    labels: number[][];
  }

  /** The next `count` batches as arrays. */
  async function take(
    batches: AsyncIterator<{xs: tf.Tensor2D; ys: tf.Tensor3D}>,
    count = Infinity,
  ): Promise<Batch[]> {
    const taken: Batch[] = [];
    while (taken.length < count) {
      const next = await batches.next();
      if (next.done) break;
      const {value} = next;
      expect([value.xs.dtype, value.ys.dtype]).to.deep.equal(['int32', 'int32']);
      expect(value.ys.shape).to.deep.equal([...value.xs.shape, 1]);
      const labels = tf.squeeze<tf.Tensor2D>(value.ys, [2]);
      taken.push({
        shape: value.xs.shape,
        ids: await value.xs.array(),
        labels: await labels.array(),
      });
      tf.dispose([value.xs, value.ys, labels]);
    }
    return taken;
  }

  const pass = (dataset: TextDataset): Promise<Batch[]> => take(dataset[Symbol.asyncIterator]());

  /** What each row learns, as text. */
  const learned = (batches: Batch[]): string[] =>
    batches.flatMap(({labels}) =>
      labels.map((row) => tokenizer.decode(row.filter((label) => label >= 0))),
    );

  const textsOf = (dataset: TextDataset): Promise<string[]> => pass(dataset).then(learned);

  it('gives batches of one shape, the last one with fewer rows', async () => {
    const before = tf.memory().numTensors;
    const dataset = textDataset(numbered(5), tokenizer, {
      maxLength: 16,
      batchSize: 2,
      shuffle: false,
    });
    expect(dataset.size).to.be.NaN;
    const batches = await pass(dataset);
    expect(batches.map(({shape}) => shape)).to.deep.equal([
      [2, 16],
      [2, 16],
      [1, 16],
    ]);
    const ids = [...tokenizer.encode('the cat 3'), tokenizer.eosTokenId!];
    const padding = Array.from({length: 16 - ids.length + 1}, () => tokenizer.padTokenId);
    expect(batches[1]!.ids[1]).to.deep.equal([...ids.slice(0, -1), ...padding]);
    expect(batches[1]!.labels[1]).to.deep.equal([...ids.slice(1), ...padding.map(() => -100)]);
    expect(dataset.size).to.equal(3);
    expect(dataset.report).to.deep.include({
      epoch: 0,
      isComplete: true,
      used: 5,
      cut: 0,
      dropped: 0,
      batches: 3,
      tokens: 5 * (ids.length - 1),
      learnedTokens: 5 * (ids.length - 1),
    });
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('names what it cuts and drops by line', async () => {
    const lines = [
      '{"text": "the cat"}',
      '{"text": "a" "b": 1}',
      '',
      '{"text": 5}',
      '{"instruction": "name it", "output": "a tree"}',
      `{"text": "${'the small cat '.repeat(9)}"}`,
      '{"messages": [{"role": "user", "content": "hi"}]}',
      '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "oh"}]}',
    ];
    const bytes = new TextEncoder().encode(`\ufeff${lines.join('\r\n')}\r\n{"text": "\xff"}`);
    // `\xff` is two bytes in UTF-8; without its first the last line is none
    const damaged = bytes.filter((byte) => byte !== 0xc3);
    const dataset = textDataset(damaged, tokenizer, {maxLength: 32, shuffle: false});
    expect((await textsOf(dataset)).map((text) => text.slice(0, 12))).to.deep.equal([
      ' cat<|im_end',
      ' small cat t',
      'oh<|im_end|>',
    ]);
    const {used, cut, dropped, problems} = dataset.report;
    expect({used, cut, dropped}).to.deep.equal({used: 3, cut: 1, dropped: 5});
    const named = problems.map(({line, kind, example}) => `${line} ${kind} ${example}`);
    const expected = [
      /^2 dropped it is not JSON: (?!.*(position|column)).*\w$/,
      /^4 dropped 'text' must be a text; got 5$/,
      /^5 dropped its prompt leaves no room for the answer in maxLength 32; it has \d+ tokens$/,
      /^6 cut it does not fit in maxLength 32; it has \d+ tokens$/,
      /^7 dropped no message has the role 'assistant'$/,
      /^9 dropped it is not UTF-8; save it as UTF-8$/,
    ];
    expect(named).to.have.length(expected.length);
    expected.forEach((pattern, i) => expect(named[i]).to.match(pattern));
  });

  it('counts problems by kind, with the first line of each whatever the order', async () => {
    const lines = [
      {text: 'the cat'},
      {text: 1},
      {answer: 'x'},
      {text: 2},
      {text: 'the small cat '.repeat(9)},
      {text: 3},
      {text: 'the tall tree '.repeat(9)},
    ];
    for (const seed of [1, 2, 3]) {
      const dataset = textDataset(bytesOf(lines), tokenizer, {maxLength: 32, seed});
      await pass(dataset);
      const {problems} = dataset.report;
      expect(
        worstFirst(problems).map(({example, reason, ...counts}) => ({...counts, reason})),
      ).to.deep.equal([
        {kind: 'dropped', count: 3, line: 2, reason: "'text' must be a text"},
        {kind: 'dropped', count: 1, line: 3, reason: problems.find(({line}) => line === 3)!.reason},
        {kind: 'cut', count: 2, line: 5, reason: 'it does not fit in maxLength 32'},
      ]);
      expect(problemText(worstFirst(problems)[0]!)).to.equal(
        "3 dropped, the first in line 2: 'text' must be a text; got 1",
      );
    }
  });

  it('makes the same rows of a table, of a list, of ShareGPT and of chats', async () => {
    const turns = [
      ['What is "2, 3"?', 'the cat,\nand "it"'],
      ['the house', 'the small tree 😀'],
    ] as const;
    const rows = [['question', 'answer'], ...turns];
    const csv = (delimiter: string): string =>
      rows
        .map((row) => row.map((field) => `"${field.replaceAll('"', '""')}"`).join(delimiter))
        .join('\r\n');
    const value = (from: string, value: string) => ({from, value});
    const forms: Array<string | readonly unknown[]> = [
      turns.map(([user, assistant]) => ({
        messages: [
          {role: 'user', content: user},
          {role: 'assistant', content: assistant},
        ],
      })),
      turns.map(([human, gpt]) => ({
        conversations: [value('human', human), value('gpt', gpt)],
      })),
      turns.map(([prompt, completion]) => ({prompt, completion})),
      turns.map(([prompt, response]) => ({prompt, response})),
      turns.map(([instruction, response]) => ({instruction, response, context: ''})),
      csv(','),
      csv('\t'),
      csv(';'),
      JSON.stringify(turns.map(([question, answer]) => ({question, answer}))),
    ];
    const rowsOf = async (form: string | readonly unknown[], fields?: FieldNames) => {
      const bytes = typeof form === 'string' ? new TextEncoder().encode(form) : bytesOf(form);
      const options = {shuffle: false, maxLength: 64, ...(fields && {fields})};
      const dataset = textDataset(bytes, tokenizer, options);
      const batches = await pass(dataset);
      expect(dataset.report.problems).to.deep.equal([]);
      return batches;
    };
    const [chats, ...others] = await Promise.all(forms.map((form) => rowsOf(form)));
    others.forEach((other, i) => expect(other, String(i + 1)).to.deep.equal(chats));
    const named = csv(',').replace('"question","answer"', '"frage","antwort"');
    expect(await rowsOf(named, {prompt: 'frage', answer: 'antwort'})).to.deep.equal(chats);
  });

  it('learns all of the paragraphs of a text', async () => {
    const data = new TextEncoder().encode('the cat\nsat\n\nthe house\n');
    const texts = await textsOf(textDataset(data, tokenizer, {shuffle: false}));
    expect(texts.map((text) => text.replace('<|im_end|>', ''))).to.deep.equal([
      ' cat\nsat',
      ' house',
    ]);
  });

  it('throws at what it would drop, if it is told to', async () => {
    const data = bytesOf([{text: 'a'}, {txt: 'b'}]);
    const dataset = textDataset(data, tokenizer, {invalid: 'throw', batchSize: 1, shuffle: false});
    expect((await rejection(pass(dataset))).message).to.match(
      /^textDataset: the data: line 2: an example needs 'text'.*; it has txt$/,
    );
  });

  it('throws where nothing can be used', async () => {
    const messageOf = async (data: Uint8Array) =>
      (await rejection(pass(textDataset(data, tokenizer)))).message;
    expect(await messageOf(new Uint8Array())).to.equal('textDataset: the data is empty');
    expect(await messageOf(new TextEncoder().encode('[]'))).to.equal(
      'textDataset: the data has no examples',
    );
    expect(await messageOf(bytesOf([{text: 1}, {text: 2}, {text: 3}, {text: 4}]))).to.match(
      /^textDataset: the data has no example that can be used: 4 dropped, the first in line 1: 'text' must be a text; got 1$/,
    );
    expect(await messageOf(bytesOf([{text: 1}, {a: 1}, {b: 1}, {text: ''}, []]))).to.match(
      /: 2 dropped, the first in line 2: .*; 1 dropped, in line 1: .*; 1 dropped, in line 4: 'text' is empty; …$/,
    );
  });

  it('gives up after 10,000 examples none of which can be used, and not if there was one', async () => {
    let tokenized = 0;
    const counting = Object.create(tokenizer, {
      applyChatTemplate: {
        value: () => {
          tokenized++;
          throw new Error('the template does not take it');
        },
      },
    }) as Tokenizer;
    const chat = {messages: [{role: 'assistant', content: 'a'}]};
    const refused = Array<unknown>(10_002).fill(chat);
    const lost = await rejection(pass(textDataset(bytesOf(refused), counting)));
    expect(lost.message).to.match(
      /^textDataset: the data: none of 10000 examples can be used, and no more were tried: 10000 dropped, the first in line 1: the template does not/,
    );
    expect(tokenized).to.equal(10_000);

    const data = bytesOf([{text: 'the cat'}, ...refused]);
    const dataset = textDataset(data, counting, {shuffle: false});
    expect(await pass(dataset)).to.have.length(1);
    expect(dataset.report).to.include({used: 1, dropped: 10_002, isComplete: true});
  });

  it('throws at tokens that the model does not know, and at rows longer than its positions', async () => {
    const small = {...config, vocabSize: 200};
    const dataset = textDataset(bytesOf([{text: 'x'}, {text: 'the'}]), tokenizer, {
      config: small,
      shuffle: false,
    });
    expect((await rejection(pass(dataset))).message).to.match(
      /^textDataset: the data: line 2: token \d+ \('the'\) is outside the model's vocabulary of 200/,
    );
    expect(() => textDataset(numbered(1), tokenizer, {config, maxLength: 65})).to.throw(
      "textDataset: maxLength must be at most the model's maxPositionEmbeddings (64); got 65",
    );
    const [batch] = await pass(textDataset(numbered(1), tokenizer, {config}));
    expect(batch!.shape).to.deep.equal([1, 64]);
  });

  it('pads with a token that the model knows', async () => {
    const padded = async (ids: Partial<Tokenizer>, vocabSize?: number) => {
      const known = vocabSize === undefined ? null : {...config, vocabSize};
      const options = {config: known, maxLength: 16};
      const [batch] = await pass(textDataset(numbered(1), {...tokenizer, ...ids}, options));
      return batch!.ids[0]!.at(-1);
    };
    const ids = {padTokenId: 300, eosTokenId: 299};
    expect(await padded(ids)).to.equal(300);
    expect(await padded(ids, 301)).to.equal(300);
    expect(await padded(ids, 300)).to.equal(299);
    expect(await padded({padTokenId: 300, eosTokenId: null}, 300)).to.equal(0);
    expect(await padded({padTokenId: null}, 300)).to.equal(tokenizer.eosTokenId);
  });

  for (const [options, message] of [
    [{maxLength: 0}, 'maxLength must be an integer >= 1; got 0'],
    [{batchSize: 1.5}, 'batchSize must be an integer >= 1; got 1.5'],
    [{seed: -1}, 'seed must be an integer >= 0 and <= 4294967295; got -1'],
    [{shuffleBuffer: 0}, 'shuffleBuffer must be an integer >= 1; got 0'],
    [
      {format: 'csv'},
      "format must be one of 'auto', 'text', 'alpaca', 'prompt-completion', 'chat'; got 'csv'",
    ],
    [{fields: {prompt: 'a'}}, 'fields must name either text, or messages, or prompt and answer'],
    [{fields: {text: 'a'}, format: 'text'}, "fields say the format; leave format 'text' out"],
    [{invalid: 'skip'}, "invalid must be one of 'drop', 'throw'; got 'skip'"],
    [{limit: 0}, 'limit must be an integer >= 1; got 0'],
    [{packing: 1}, 'packing must be true or false; got 1'],
    [{select: 5}, "select must be a function of an example's place in the file"],
    [{batchsize: 1}, "unknown option 'batchsize'; did you mean 'batchSize'?"],
  ] as const) {
    it(`rejects ${JSON.stringify(options)}`, () => {
      const rejected = options as unknown as TextDatasetOptions; // what a caller without types may pass
      expect(() => textDataset(numbered(1), tokenizer, rejected)).to.throw(
        `textDataset: ${message}`,
      );
    });
  }

  it('packs examples into rows and predicts all of them', async () => {
    const options = {maxLength: 8, batchSize: 4, shuffle: false, packing: true};
    const dataset = textDataset(numbered(9), tokenizer, options);
    const batches = await pass(dataset);
    const all = Array.from({length: 9}, (_, i) => [
      ...tokenizer.encode(`the cat ${i}`),
      tokenizer.eosTokenId!,
    ]);
    const ids = batches.flatMap((batch) => batch.ids.flat());
    expect(ids.slice(0, all.flat().length)).to.deep.equal(all.flat());
    const labels = batches.flatMap((batch) => batch.labels.flat()).filter((label) => label >= 0);
    expect(labels).to.deep.equal(all.flatMap((example) => example.slice(1)));
    expect(dataset.report).to.deep.include({used: 9, tokens: all.flat().length});
  });

  describe('shuffles', () => {
    const options: TextDatasetOptions = {maxLength: 16, batchSize: 3, seed: 7};

    it('by its seed, in another order in each pass', async () => {
      const passes = async (seed: number) => {
        const dataset = textDataset(numbered(20), tokenizer, {...options, seed});
        return [await textsOf(dataset), await textsOf(dataset)] as const;
      };
      const [first, second] = await passes(7);
      expect([...first].sort()).to.deep.equal([...second].sort());
      expect(new Set(first)).to.have.property('size', 20);
      expect(first).to.not.deep.equal(second);
      expect(await passes(7)).to.deep.equal([first, second]);
      expect((await passes(8))[0]).to.not.deep.equal(first);
    });

    it('begins a pass when its first batch is asked for, as fitDataset expects', async () => {
      const dataset = textDataset(numbered(20), tokenizer, options);
      await dataset.iterator();
      const expected = await textsOf(textDataset(numbered(20), tokenizer, options));
      expect(learned(await take(await dataset.iterator()))).to.deep.equal(expected);
    });

    for (const packing of [false, true]) {
      it(`goes on from a state as if it had not stopped${packing ? ', packed' : ''}`, async () => {
        const create = () =>
          textDataset(numbered(20), tokenizer, {
            ...options,
            packing,
            maxLength: packing ? 5 : 16,
            shuffleBuffer: 6,
          });
        const whole = create();
        const batches = [...(await pass(whole)), ...(await pass(whole)), ...(await pass(whole))];
        const perPass = batches.length / 3;
        for (let stop = 0; stop <= 2 * perPass; stop++) {
          const stopped = create();
          if (stop > perPass) await pass(stopped);
          const before = stopped[Symbol.asyncIterator]();
          await take(before, stop > perPass ? stop - perPass : stop);
          const state = JSON.parse(JSON.stringify(stopped.state())) as TextDatasetState;
          const resumed = create();
          resumed.restore(state);
          expect(resumed.state()).to.deep.equal(state);
          const rest = await pass(resumed);
          const end = stop < perPass ? perPass : stop < 2 * perPass ? 2 * perPass : 3 * perPass;
          expect(rest).to.deep.equal(batches.slice(stop, end));
          expect(resumed.report.batches).to.equal(perPass);
        }
      });
    }

    it('refuses the state of other options', async () => {
      const {settings, ...state} = textDataset(numbered(3), tokenizer, options).state();
      const other = textDataset(numbered(3), tokenizer, {...options, seed: 8});
      expect(() => other.restore({settings, ...state})).to.throw(
        'textDataset: the state is of a dataset with seed 7; this one has 8',
      );
    });

    it('refuses what is no state, and goes on as before', async () => {
      const create = () => textDataset(numbered(3), tokenizer, {...options, packing: true});
      const dataset = create();
      const state = dataset.state();
      const {rest, report} = state;
      for (const [changes, message] of [
        [{settings: null}, /a state must be \{settings, epoch, drawn, rest, report\}, .* got/],
        [
          {settings: {...state.settings, seed: {toString: 1}}},
          /seed \{"toString":1\}; this one has 7/,
        ],
        [{epoch: -1}, /epoch must be an integer .*; got -1/],
        [{drawn: 0.5}, /drawn must be an integer .*; got 0.5/],
        [{rest: {...rest, ids: [1]}}, /rest must be \{ids, labels\}, as many labels as tokens/],
        [{rest: {ids: [4e9], labels: [-100]}}, /rest must be .* from 0 to 2147483647/],
        [{report: {...report, isComplete: true}}, /report must be that of a pass that goes on/],
        [
          {report: {...report, problems: [null]}},
          /report must be .* \{kind, reason, count, line, example\}; got/,
        ],
        [{report: {...report, used: '1'}}, /report\.used must be an integer .*; got '1'/],
      ] as const) {
        const wrong = {...state, ...changes} as unknown as TextDatasetState;
        expect(() => dataset.restore(wrong)).to.throw(message);
        expect(dataset.state()).to.deep.equal(state);
      }
    });
  });

  it('goes on without end if it is told to', async () => {
    const dataset = textDataset(numbered(4), tokenizer, {batchSize: 2, repeat: true});
    const batches = await take(dataset[Symbol.asyncIterator](), 7);
    expect(batches).to.have.length(7);
    expect(dataset.report).to.deep.include({epoch: 3, batches: 1, isComplete: false});
  });

  it('takes no more of them than its limit, and reads nothing after the last', async () => {
    const every = (i: number): boolean => i % 2 === 1;
    const lines = new Blob([numbered(7) as Uint8Array<ArrayBuffer>, '[', 'x'.repeat(2 ** 21)]);
    const slice = lines.slice.bind(lines);
    let last = 0;
    lines.slice = (from, to) => slice(from, (last = Math.max(last, to!)));
    const limited = textDataset(lines, tokenizer, {
      ...{shuffle: false, select: every, limit: 2, batchSize: 3},
    });
    const texts = [...(await textsOf(limited)), ...(await textsOf(limited))];
    const expected = [' cat 1', ' cat 3', ' cat 1', ' cat 3'];
    expect(texts.map((text) => text.slice(0, 6))).to.deep.equal(expected);
    expect(last).to.be.within(1, 2 ** 20);
    expect(limited.report).to.deep.include({used: 2, isComplete: true});
  });

  it('takes the selected examples', async () => {
    const every = (rest: number) => (index: number) => index % 3 === rest;
    const texts = await textsOf(
      textDataset(numbered(7), tokenizer, {shuffle: false, select: every(0)}),
    );
    expect(texts.map((text) => text.slice(0, 6))).to.deep.equal([' cat 0', ' cat 3', ' cat 6']);
  });

  it('reads paths, links, URLs, Blobs and bytes, lines and arrays', async () => {
    const examples = Array.from({length: 5}, (_, i) => ({text: `the cat ${i}`}));
    const lines = bytesOf(examples);
    const array = new TextEncoder().encode(JSON.stringify(examples, null, 2));
    const expected = await textsOf(textDataset(lines, tokenizer, {shuffle: false}));
    writeFileSync(join(folder, 'lines.jsonl'), lines);
    writeFileSync(join(folder, 'an array.json'), array);
    const elsewhere = mkdtempSync(join(folder, 'elsewhere-'));
    symlinkSync(join(folder, 'lines.jsonl'), join(elsewhere, 'link.jsonl'));
    const server = await FileServer.start(new Map([['data/an array.json', array]]));
    try {
      for (const source of [
        join(folder, 'lines.jsonl'),
        join(folder, 'an array.json'),
        join(elsewhere, 'link.jsonl'),
        `${server.url}/data/an%20array.json?x=1`,
        new Blob([lines]),
        array,
      ]) {
        const dataset = textDataset(source, tokenizer, {shuffle: false});
        expect(
          await textsOf(dataset),
          typeof source === 'string' ? source : 'a file',
        ).to.deep.equal(expected);
      }
    } finally {
      await server.close();
    }
  });

  it('leaves the folder of a file as it is, whatever a stranger has put there', async () => {
    const downloaded = mkdtempSync(join(folder, 'downloaded-'));
    const journal = '.commit.1-1@another.01234567-89ab-cdef-0123-456789abcdef.json';
    writeFileSync(join(downloaded, 'lines.jsonl'), bytesOf([{text: 'the cat'}]));
    writeFileSync(join(downloaded, 'config.json'), 'mine');
    writeFileSync(
      join(downloaded, journal),
      JSON.stringify({renames: [], removals: ['config.json']}),
    );
    await textsOf(textDataset(join(downloaded, 'lines.jsonl'), tokenizer));
    expect(readdirSync(downloaded)).to.have.members(['lines.jsonl', 'config.json', journal]);
  });

  it('names a file that is not there, or that changes, and what is no file or tokenizer', async () => {
    const path = join(folder, 'changing.jsonl');
    const url = 'https://127.0.0.1/100%.jsonl';
    expect((await rejection(pass(textDataset(url, tokenizer)))).message).to.equal(
      `textDataset: ${url}: the URL's '100%.jsonl' is not encoded as a URL must be`,
    );
    expect((await rejection(pass(textDataset(undefined as never, tokenizer)))).message).to.match(
      /data is the path of a file, an http\(s\) URL, a Uint8Array or a Blob; got undefined/,
    );
    expect(() => textDataset(path, undefined as never)).to.throw(
      'textDataset: tokenizer must be one, as loadTokenizer gives it',
    );
    expect((await rejection(pass(textDataset(path, tokenizer)))).message).to.equal(
      `textDataset: ${path}: there is no file '${path}'`,
    );
    const line = `${JSON.stringify({text: 'the cat '.repeat(20)})}\n`;
    writeFileSync(path, line.repeat(20_000)); // more than is read at once
    const dataset = textDataset(path, tokenizer, {
      shuffle: false,
      batchSize: 1,
      select: (index) => index % 1000 === 0,
    });
    const batches = dataset[Symbol.asyncIterator]();
    expect(await take(batches, 1)).to.have.length(1);
    // of the same size, so that only its time tells
    await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(path, line.toUpperCase().repeat(20_000));
    expect((await rejection(take(batches))).message).to.include('it was changed while it was read');
    const nothing = textDataset(5 as unknown as string, tokenizer); // without types
    expect((await rejection(pass(nothing))).message).to.include('data is the path of a file');
  });

  itAtLength('reads a file larger than what it may hold in memory', async function () {
    this.timeout(60_000);
    const path = join(folder, 'large.jsonl');
    const file = openSync(path, 'w');
    const line = `${JSON.stringify({text: 'the small cat sees the house. '.repeat(30)})}\n`;
    const block = Buffer.from(line.repeat(Math.floor(2 ** 24 / line.length)));
    const blocks = 16;
    for (let i = 0; i < blocks; i++) writeSync(file, block);
    closeSync(file);
    const lines = (blocks * block.length) / line.length;

    const used = () => {
      const {heapUsed, arrayBuffers} = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    const before = used();
    let peak = 0;
    // all lines are read and pass through the buffer, few are tokenized
    const dataset = textDataset(path, tokenizer, {
      maxLength: 32,
      shuffleBuffer: 1000,
      select: (index) => {
        if (index % 1000 === 0) peak = Math.max(peak, used() - before);
        return index % 1000 === 0;
      },
    });
    await pass(dataset);
    expect(dataset.report.used).to.equal(Math.ceil(lines / 1000));
    // 256 MB; what is read and no longer needed waits for the garbage collector
    expect(peak).to.be.below((blocks * block.length) / 2);
    rmSync(path);
  });

  it('trains a model by fitDataset, evaluates by evaluateDataset, and leaves no tensor', async () => {
    const before = tf.memory().numTensors;
    const model = createLlama(config);
    const optimizer = tf.train.adam(0.01);
    model.compile({optimizer, loss: sparseCrossEntropy});
    const options: TextDatasetOptions = {config, maxLength: 12, batchSize: 4};
    const training = textDataset(numbered(12), tokenizer, options);
    const validation = textDataset(numbered(4), tokenizer, {...options, shuffle: false});
    const lossOf = async () => {
      const loss = (await model.evaluateDataset(validation, {})) as tf.Scalar;
      const [value] = await loss.data();
      loss.dispose();
      return value!;
    };
    const start = await lossOf();
    const {history} = await model.fitDataset(training, {
      epochs: 3,
      verbose: 0,
      validationData: validation,
    });
    expect(training.report).to.deep.include({epoch: 2, batches: 3, used: 12});
    expect(history['val_loss']).to.have.length(3);
    expect(await lossOf()).to.be.below(start);

    const endless = textDataset(numbered(5), tokenizer, {...options, repeat: true});
    await model.fitDataset(endless, {epochs: 2, batchesPerEpoch: 3, verbose: 0});
    expect(endless.report).to.deep.include({epoch: 2, batches: 2});
    optimizer.dispose();
    model.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });
});
