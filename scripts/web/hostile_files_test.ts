/** Files of models and data that somebody made to do harm: each is refused in words with a way out, and the page stays as it was. */
import {execFile} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {promisify} from 'node:util';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

type Files = Record<string, Buffer>;
type Header = Record<string, {dtype: string; shape: number[]; data_offsets: [number, number]}>;

const demo = (name: string): Buffer =>
  readFileSync(new URL(`../../demo/model/${name}`, import.meta.url));
/** Markup that would run a script, and may be a name. */
const markup = `<img src=x onerror="window.hacked=1">`;
const elements = 'img, iframe, script, object, embed, base, [onerror]';

const own: Files = {
  'config.json': demo('config.json'),
  'tokenizer.json': demo('tokenizer.json'),
  'model.safetensors': demo('model.safetensors'),
};
const config = JSON.parse(own['config.json']!.toString()) as Record<string, unknown>;
const tokenizer = JSON.parse(own['tokenizer.json']!.toString()) as {model: object};
const headerSize = Number(own['model.safetensors']!.readBigUInt64LE());
const header = JSON.parse(
  own['model.safetensors']!.subarray(8, 8 + headerSize).toString(),
) as Header;
const weights = own['model.safetensors']!.subarray(8 + headerSize);
const tensor = 'model.embed_tokens.weight';

const json = (value: unknown): Buffer =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const withConfig = (changes: object | string): Files => ({
  ...own,
  'config.json': json(typeof changes === 'string' ? changes : {...config, ...changes}),
});
const withTokenizer = (value: unknown): Files => ({...own, 'tokenizer.json': json(value)});
const withHeader = (text: unknown, length?: bigint): Files => {
  const bytes = json(text);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(bytes.length));
  return {...own, 'model.safetensors': Buffer.concat([size, bytes, weights])};
};
const changed = (changes: object): object => ({
  ...header,
  [tensor]: {...header[tensor], ...changes},
});
const withIndex = (map: object): Files => {
  const {'model.safetensors': _, ...others} = own;
  return {...others, 'model.safetensors.index.json': json({metadata: {}, weight_map: map})};
};

/** A GGUF file of numbers, each of 4 or 8 bytes, and texts. */
const gguf = (...parts: Array<number | bigint | string | Buffer>): Files => ({
  'model.gguf': Buffer.concat(
    parts.map((part) => {
      if (Buffer.isBuffer(part)) return part;
      if (typeof part === 'string') return Buffer.from(part);
      const bytes = Buffer.alloc(typeof part === 'bigint' ? 8 : 4);
      if (typeof part === 'bigint') bytes.writeBigUInt64LE(part);
      else bytes.writeUInt32LE(part);
      return bytes;
    }),
  ),
});
const text = (value: string): Array<bigint | string> => [BigInt(Buffer.byteLength(value)), value];
const architecture = [...text('general.architecture'), 8, ...text('llama')];
const HUGE = 2n ** 62n;

/** Files of a model, with what is said of them. Further ones are refused by the tests of who reads them. */
const models: Readonly<Record<string, readonly [Files, RegExp]>> = {
  'safetensors: a header of 2^64 bytes': [withHeader(header, 2n ** 64n - 1n), /header should end at byte/],
  'safetensors: a header of 40 MB': [withHeader(' '.repeat(40_000_000)), /header is not JSON/],
  'safetensors: a million brackets': [withHeader('['.repeat(1_000_000)), /nested more than 100 deep/],
  'safetensors: a type of markup': [withHeader(changed({dtype: markup})), /<img src=x/],
  'safetensors: names of markup': [withHeader(JSON.stringify(header).replaceAll('model.layers', markup.replaceAll('"', "'"))), /no file has tensor/i],
  'safetensors: a name __proto__': [withHeader(JSON.stringify(header).replace(tensor, '__proto__')), /no file has tensor/i],
  'index: a file above the folder': [withIndex({[tensor]: '../../../etc/passwd'}), /\.\.\/etc\/passwd/],
  'index: a file of another host': [withIndex({[tensor]: 'https://example.com/model.safetensors'}), /example\.com/],
  'index: markup': [withIndex({[markup]: markup}), /\w/],
  'GGUF: 2^62 tensors': [gguf('GGUF', 3, HUGE, 1n, ...architecture), /tensors; no model has more/],
  'GGUF: a text of 2^62 bytes': [gguf('GGUF', 3, 0n, 1n, HUGE, 'general'), /at most 65535 are allowed/],
  'GGUF: an architecture of markup': [gguf('GGUF', 3, 0n, 1n, ...text('general.architecture'), 8, ...text(markup)), /must be one of .*<img src=x/],
  'GGUF: a tensor of 2^62 numbers': [gguf('GGUF', 3, 1n, 1n, ...architecture, ...text(markup), 4, HUGE, HUGE, HUGE, HUGE, 0, 0n), /beyond the end of the file/],
  'config: a model of markup': [withConfig({model_type: markup}), /model_type must be one of/],
  'config: a width of 10^9': [withConfig({hidden_size: 1e9, intermediate_size: 1e9}), /hiddenSize must be/],
  'config: a prototype': [withConfig(JSON.stringify(config).replace('{', '{"__proto__": {"hidden_size": 3}, ').replace(/"hidden_size":\d+,/, '')), /hidden_size must be .* got undefined/],
  'tokenizer: a model of markup': [withTokenizer({...tokenizer, model: {type: markup, vocab: {[markup]: 0}, merges: [markup]}}), /tokenizer\.json cannot be used/],
  'tokenizer: a pattern without an end': [withTokenizer({...tokenizer, pre_tokenizer: {type: 'Split', pattern: {Regex: '(a+)+$'}, behavior: 'Isolated', invert: false}}), /may take for ever/],
}; // prettier-ignore

/** Files of data, with what is said of them. */
const data: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
  nothing: [Buffer.alloc(0), /is empty/],
  bytes: [Buffer.from(Array.from({length: 5000}, (_, i) => (i * 7919) % 256)), /is no text/],
  'an archive': [Buffer.from('PK\x03\x04...'), /is a zip archive; unpack it first/],
  'a million brackets': [Buffer.from('['.repeat(1_000_000)), /the file ends within the array/],
  'one chat of markup': [json({messages: [{role: markup, content: markup}]}), /0 of \d examples can be learnt/],
  'chats of no texts': [Buffer.from('{"messages": [{"role": "user", "content": {"toString": 1}}]}\n'.repeat(3)), /0 of \d examples can be learnt/],
  'fields of markup': [Buffer.from(`{"${markup.replaceAll('"', "'")}": 1}\n`.repeat(3)), /0 of \d examples can be learnt/],
  'fields of a prototype': [Buffer.from('{"__proto__": {"text": "a"}, "constructor": "a"}\n'.repeat(3)), /it has __proto__, constructor/],
}; // prettier-ignore

/** Files beside those of a model, by names that lead elsewhere, or that no file system takes. */
const names = [
  '..\\..\\up.json',
  'C:\\up.json',
  `${'long'.repeat(70)}.json`,
  '~.json',
  'a\nb.json',
  '<b>.json',
];

const way = 'Choose other files; what is taken stands below';

describe('a hostile file', () => {
  let tab: Tab;
  let before: number;
  beforeEach(async () => {
    const settings = {...quick, steps: 2, sampleEvery: 0, saveEvery: 0, evaluateEvery: 1000};
    tab = await Tab.open(await newContext(), hosts().preview.url, settings);
    before = await tab.page.locator(elements).count();
  });
  afterEach(async () => {
    expect(await tab.page.locator(elements).count()).to.equal(before);
    expect(await tab.page.evaluate(() => 'hacked' in window)).to.equal(false);
    expect(tab.errors).to.eql([]);
  });

  it('of a model cannot be started with and is refused in words, and the page stays as it was', async function () {
    this.timeout(240_000); // a worker for each
    const {page} = tab;
    await page.locator('input[name=data][value=pasted]').check();
    await page.fill('#pasted', 'Call me Ishmael.\n'.repeat(40));
    await page.locator('input[name=model][value=files]').check();
    for (const [title, [files, words]] of Object.entries(models)) {
      await choose(files);
      await isRefused(title, words);
    }
    await choose(own);
    await trains();
  });

  it('that is none of a model is said to be that, before it is read', async () => {
    const {page} = tab;
    const none: Array<[string, RegExp]> = [
      [`${markup}.json`, /^A model is a folder with a config\.json, or a GGUF file; <img .*\.json can be none\.$/],
      ['owlore-model.zip', /^owlore-model\.zip is an archive: unpack it, and drop the folder/],
      ['adapter_config.json', /^These are the files of an adapter; drop those of a model/],
    ]; // prettier-ignore
    await page.locator('input[name=model][value=files]').check();
    for (const [name, words] of none) {
      await choose({[name]: Buffer.from('PK\x03\x04')});
      await page.locator('#phase').filter({hasText: words}).waitFor();
      expect(await page.locator('#start').isDisabled(), name).to.equal(true);
      expect(await tab.text('estimate-note')).to.match(words);
    }
    await choose(own);
    await trains();
  });

  it('of a model with which one starts before it is read is refused in words, too', async () => {
    const {page} = tab;
    await page.locator('input[name=model][value=files]').check();
    for (const title of [
      'safetensors: a type of markup',
      'GGUF: an architecture of markup',
      'config: a model of markup',
    ]) {
      const [files, words] = models[title]!;
      await choose(files);
      await tab.click('start');
      const notice = page.locator('#notice:visible');
      await notice.waitFor();
      await tab.isIn('idle');
      const text = await notice.textContent();
      expect(text, title).to.match(words);
      expect(text, title).to.include(way);
    }
    await choose(own);
    expect(await page.locator('#notice').isVisible()).to.equal(false);
    await trains();
  });

  it('of data cannot be started with and is refused in words, and the page stays as it was', async () => {
    const start = tab.page.locator('#start');
    await tab.page.locator('input[name=data][value=files]').check();
    for (const [title, [buffer, words]] of Object.entries(data)) {
      await tab.page
        .locator('#data-panel input[type=file]')
        .setInputFiles({name: `${title} ${markup}`, mimeType: '', buffer});
      const reason = `There is nothing to learn in ${title} ${markup}: see why under`;
      await tab.page.locator('#phase').filter({hasText: reason}).waitFor();
      expect(await start.isDisabled(), title).to.equal(true);
      expect(await start.getAttribute('aria-describedby')).to.equal('phase');
      expect(await tab.page.locator('#problems').textContent(), title).to.match(words);
    }
    await tab.page.locator('input[name=data][value=pasted]').check();
    expect([await start.isDisabled(), await tab.text('phase')]).to.eql([
      true,
      'Paste some examples.',
    ]);
    await tab.page.fill('#pasted', 'Call me Ishmael.');
    expect(await start.isEnabled()).to.equal(true);
    await tab.page.fill('#pasted', '');
    await tab.page.locator('input[name=data][value=moby-dick]').check();
    expect(await start.isEnabled()).to.equal(true);
    await trains();
  });

  it('with a name that leads elsewhere stays where it is, in the storage and in what is downloaded', async () => {
    await tab.page.locator('input[name=model][value=files]').check();
    await choose({...own, ...Object.fromEntries(names.map((name) => [name, Buffer.from('{}')]))});
    await trains();
    const zip = await tab.download('download-safetensors');
    const {stdout} = await promisify(execFile)('python3', [
      '-m',
      'zipfile',
      '-l',
      await zip.path(),
    ]);
    const paths = stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(/ {2,}/)[0]!);
    expect(paths).to.include('owlore-model/model.safetensors');
    for (const path of paths) expect(path).to.match(/^owlore-model\/([a-z][\w.-]*|README\.md)$/);
    await tab.page.reload();
    await tab.page.locator('#runs li').getByRole('button', {name: /^Open/}).click();
    await tab.isIn('ended');
  });

  /** Chooses files of a model. */
  async function choose(files: Files): Promise<void> {
    await tab.page
      .locator('#model-panel')
      .getByLabel('Choose files')
      .setInputFiles(Object.entries(files).map(([name, buffer]) => ({name, mimeType: '', buffer})));
  }

  /** Waits until the page says what is wrong, with a way out. */
  async function isRefused(title: string, words: RegExp): Promise<void> {
    await tab.page.locator('#phase').filter({hasText: 'Cannot fine-tune'}).waitFor();
    expect(await tab.text('phase')).to.match(/(your model|\.gguf|\.json): see why under/);
    const start = tab.page.locator('#start');
    expect(await start.isDisabled(), title).to.equal(true);
    expect(await start.getAttribute('aria-describedby')).to.equal('phase');
    const text = await tab.page.locator('#estimate-note').textContent();
    expect(text, title).to.match(words);
    expect(text, title).to.include(way);
  }

  async function trains(): Promise<void> {
    await tab.click('start');
    await tab.isIn('ended');
    expect(tab.losses().steps).to.have.length(2);
  }
});
