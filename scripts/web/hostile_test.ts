/** Names, files, texts and addresses that somebody made to do harm: nothing of them runs, and nothing leaves. */
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

const demoModel = fileURLToPath(new URL('../../demo/model/', import.meta.url));

/** The only hosts beside its own that the page may ask. */
const hub =
  /^https:\/\/([\w-]+\.)?huggingface\.co(:443)?(\/|$)|^https:\/\/[\w.-]+\.hf\.co(:443)?(\/|$)/;

/** Markup that would run a script and ask another host, were it ever taken for markup. */
const markup = (): string => {
  const {url} = hosts().elsewhere;
  return `"'><img src="${url}/image" onerror="window.hacked=1"><script src="${url}/script"></script><iframe src="${url}/frame"></iframe><svg onload="window.hacked=1">`;
};
const elements = 'img, iframe, script, object, embed, base, form, [onerror], [onload]';

describe('a hostile', () => {
  let asked: string[];
  beforeEach(() => {
    ({asked} = hosts().elsewhere);
    asked.length = 0;
  });

  it('name of a file and its text are shown as they are, also in the report', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, sampleEvery: 3});
    const before = await countOf(tab);
    // a model of files, so that samples begin as the examples do
    await tab.page.locator('input[name=model][value=files]').check();
    await tab.page.locator('#model-panel input[webkitdirectory]').setInputFiles(demoModel);
    await tab.page.locator('input[name=data][value=files]').check();
    const name = `<img src=x onerror=alert(1)>'";.jsonl`;
    const lines = Array.from({length: 30}, (_, i) => JSON.stringify({text: `${i} ${markup()}`}));
    await tab.page
      .locator('#data-panel input[type=file]')
      .setInputFiles({name, mimeType: 'text/plain', buffer: Buffer.from(lines.join('\n'))});
    await tab.click('start');
    await tab.isIn('ended');
    expect(await tab.text('phase')).to.include(name);
    expect(await tab.text('samples')).to.include('<img');
    await expectNothing(tab, before);

    const report = await tab.download('download-report');
    const html = readFileSync(await report.path(), 'utf8');
    const opened = await (await newContext()).newPage();
    const dialogs: string[] = [];
    opened.on('dialog', (dialog) => {
      dialogs.push(dialog.message());
      void dialog.dismiss();
    });
    await opened.setContent(html, {waitUntil: 'load'});
    expect(await opened.locator('body').innerText()).to.include(name);
    expect(await opened.locator('img, iframe, script[src]').count()).to.equal(0);
    expect(dialogs).to.eql([]);
    expect(asked).to.eql([]);
  });

  it('message of the chat is shown as it is', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, steps: 2});
    const before = await countOf(tab);
    await tab.click('start');
    await tab.isIn('ended');
    await tab.page.fill('#chat-text', markup().slice(0, 90));
    await tab.click('chat-send');
    await tab.page.locator('#chat-send:enabled').waitFor();
    for (const of of ['chat-before', 'chat-after'])
      expect(await tab.text(of)).to.include(markup().slice(0, 90));
    await expectNothing(tab, before);
  });

  it('pasted text is shown as it is, and what is wrong with it in words', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, quick);
    const before = await countOf(tab);
    await tab.page.locator('input[name=data][value=pasted]').check();
    await tab.page.fill('#pasted', `{"${markup().replaceAll('"', "'")}": 1}\n`.repeat(3));
    await tab.click('start');
    await tab.page.locator('#notice:visible').waitFor();
    await tab.isIn('idle');
    expect((await tab.text('notice')).length).to.be.above(20);
    await expectNothing(tab, before);
  });

  for (const [title, address] of [
    ['settings', () => `steps=${encodeURIComponent(markup())}&method=constructor&text=__proto__&rank=1e999&toString=1`], // prettier-ignore
    ['a model below another folder', () => 'model=../../../etc/passwd'],
    ['a model with markup', () => `model=${encodeURIComponent(markup())}`],
    ['a model of another host', () => `model=${encodeURIComponent(`${hosts().elsewhere.url}/model`)}`], // prettier-ignore
    ['a model named as a prototype', () => 'model=__proto__/constructor'],
    ['a model of data', () => `model=${encodeURIComponent(`data:text/html,${markup()}`)}`],
    ['a model that is a script', () => `model=${encodeURIComponent('javascript:alert(1)')}`],
  ] as const) {
    it(`address with ${title} does no harm`, async () => {
      const tab = await Tab.open(await newContext(), hosts().preview.url, address());
      const before = await countOf(tab);
      if (title === 'settings') {
        expect(await tab.page.inputValue('#setting-steps')).to.equal('');
        expect(await tab.text('notice')).to.include(
          '“steps”, “method”, “text”, “rank”, “toString”',
        );
      } else {
        await tab.page.locator('.tight #estimate-note').waitFor();
        expect(await tab.text('estimate-note')).to.match(/\w+ \w+ \w+/);
        // a host that does not answer may do so the next time
        const start = tab.page.locator('#start');
        if (await start.isEnabled()) {
          await start.click();
          await tab.page.locator('#notice:visible').waitFor();
          await tab.isIn('idle');
          expect(await tab.text('notice')).to.match(/\w+ \w+ \w+/);
        } else expect(await tab.text('phase')).to.match(/^Cannot fine-tune /);
      }
      // what the policy has refused is said in the console
      await expectNothing(tab, before, /Content Security Policy|Failed to load resource/);
    });
  }

  it('script could ask no host but the Hub, in the page or its worker', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, steps: 1000});
    await tab.click('start');
    await tab.reaches(1);
    const {url} = hosts().elsewhere;
    const places = [
      `${url}/fetched`,
      'https://example.com/',
      'https://huggingface.co.example.com/',
    ];
    const tries = (places: string[]): Promise<string[]> =>
      Promise.all(places.map((place) => fetch(place, {mode: 'no-cors'}).then(() => 'asked', () => 'refused'))); // prettier-ignore
    expect(await tab.page.evaluate(tries, places)).to.eql(['refused', 'refused', 'refused']);
    const [worker] = tab.page.workers();
    expect(await worker!.evaluate(tries, places)).to.eql(['refused', 'refused', 'refused']);
    await tab.page.evaluate((url) => {
      navigator.sendBeacon(`${url}/beacon`, 'text');
      new Image().src = `${url}/image`;
      const script = document.createElement('script');
      script.src = `${url}/script`;
      document.head.append(script);
      const inline = document.createElement('script');
      inline.textContent = 'window.hacked = 1';
      document.head.append(inline);
      const form = document.createElement('form');
      form.action = `${url}/form`;
      document.body.append(form);
      form.submit();
      try {
        new WebSocket(url.replace('http', 'ws'));
      } catch {
        // refused
      }
    }, url);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(await tab.page.evaluate(() => 'hacked' in window)).to.equal(false);
    expect(asked).to.eql([]);
    // and the Hub it does ask
    await tab.page.evaluate(() => fetch('https://huggingface.co/api').catch(() => undefined));
    expect(asked).to.have.length(1);
    expect(asked[0]).to.match(hub);
  });

  async function countOf(tab: Tab): Promise<number> {
    return tab.page.locator(elements).count();
  }

  /** Nothing has run, come in as an element, or left. */
  async function expectNothing(tab: Tab, before: number, may?: RegExp): Promise<void> {
    expect(await tab.page.evaluate(() => 'hacked' in window)).to.equal(false);
    expect(await countOf(tab)).to.equal(before);
    expect(tab.errors.filter((error) => !may?.test(error))).to.eql([]);
    expect(asked.filter((url) => !hub.test(url))).to.eql([]);
  }
});
