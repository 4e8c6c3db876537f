/** The form: what it says goes with what it has, and what was chosen can be taken back. */
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

const demoModel = fileURLToPath(new URL('../../demo/model/', import.meta.url));
const wrongModel = {name: 'model.gguf', mimeType: '', buffer: Buffer.from('no GGUF')};
const examples = {
  name: 'a.txt',
  mimeType: '',
  buffer: Buffer.from('Call me Ishmael.\n'.repeat(40)),
};

describe('the form', () => {
  let tab: Tab;
  beforeEach(async () => {
    const settings = {...quick, steps: 2, sampleEvery: 0};
    tab = await Tab.open(await newContext(), hosts().preview.url, settings);
  });
  afterEach(() => expect(tab.errors).to.eql([]));

  it('has files removed by a key, and waits for others', async () => {
    const {page} = tab;
    for (const [name, file, builtIn] of [
      ['model', wrongModel, 'built-in'],
      ['data', examples, 'moby-dick'],
    ] as const) {
      const panel = page.locator(`#${name}-panel`);
      const remove = panel.getByRole('button', {name: /^Remove/});
      await page.locator(`input[name=${name}][value=files]`).check();
      expect(await remove.count()).to.equal(0);
      await panel.locator('.drop:visible input').first().setInputFiles(file);
      expect(await remove.getAttribute('aria-label')).to.equal(`Remove ${file.name}`);
      await page.locator('#estimate-note').filter({hasNotText: 'Computing'}).waitFor();
      await remove.press('Enter');
      const choose = panel.getByRole('button', {name: 'Choose files'}).filter({visible: true});
      expect(await choose.evaluate((button) => document.activeElement === button)).to.equal(true);
      expect(await remove.count()).to.equal(0);
      expect(await tab.text('phase')).to.match(/^Drop/);
      await page.locator(`input[name=${name}][value=${builtIn}]`).check();
      expect(await tab.text('phase')).to.match(
        /^(Fine-tunes the built-in model on Moby-Dick|A minute)/,
      );
    }
    await tab.click('start');
    await tab.isIn('ended');
  });

  it('says nothing of what a run takes while a setting is no value, and leads to it', async () => {
    const {page} = tab;
    const note = page.locator('#estimate-note');
    const yes = note.filter({hasText: /^Yes: it takes/});
    const rank = page.locator('#setting-rank');
    await rank.focus();
    await yes.waitFor();
    for (const correct of [
      () => rank.fill('4'),
      () => page.locator('#setting-method').selectOption('full'), // which has no rank
    ]) {
      await rank.fill('x');
      expect(await note.textContent()).to.equal(
        'Correct “Rank”, then what it takes is computed here.',
      );
      await page.waitForTimeout(1500); // it is not computed
      expect(await note.textContent()).to.match(/^Correct “Rank”/);
      expect(await page.locator('#estimate-stack svg').count()).to.equal(0);
      expect(await tab.text('estimate-storage')).to.equal('');
      expect(await tab.text('phase')).to.equal('Correct “Rank” first.');
      await tab.click('start');
      expect(await rank.evaluate((input) => document.activeElement === input)).to.equal(true);
      await correct();
      await yes.waitFor();
      expect(await tab.text('phase')).to.equal('Fine-tunes the built-in model on Moby-Dick.');
    }
    await tab.click('start');
    await tab.isIn('ended');
  });

  it('takes no warm-up as long as the run, also where the run is made shorter', async () => {
    const {page} = tab;
    const [steps, warmup] = ['steps', 'warmup'].map((name) => page.locator(`#setting-${name}`));
    const isWrong = (): Promise<boolean> =>
      warmup!.evaluate(({ariaInvalid}) => ariaInvalid === 'true');
    await steps!.fill('50');
    await warmup!.fill('50');
    expect(await isWrong()).to.equal(true);
    expect(await tab.text('setting-warmup-help')).to.equal(
      'A whole number from 0 to 49, fewer than the run has.',
    );
    expect(await tab.text('phase')).to.equal('Correct “Steps of warm-up” under “More settings” first.'); // prettier-ignore
    await steps!.fill('60');
    expect(await isWrong()).to.equal(false);
    await page.waitForURL(/steps=60.*warmup=50/);
    await steps!.fill('2');
    expect(await isWrong()).to.equal(true);
    await tab.click('start');
    expect(await warmup!.evaluate((input) => document.activeElement === input)).to.equal(true);
    await warmup!.fill('1');
    await tab.click('start');
    await tab.isIn('ended');
  });

  it('says what is wrong with a value, and what the chosen method does with the chosen model', async () => {
    const {page} = tab;
    const row = page.locator('#setting-maxLength');
    await row.fill('4096');
    expect(await row.getAttribute('aria-invalid')).to.equal('true');
    expect(await tab.text('setting-maxLength-help')).to.equal('A whole number from 2 to 128.');
    await row.fill('64');
    await page.locator('#setting-learningRate').fill('0,002');
    expect(await tab.text('setting-learningRate-help')).to.equal('Write it with a point: 0.002.');
    await page.locator('#setting-learningRate').fill('0.002');
    await page.locator('#setting-method').selectOption('full');
    expect(await tab.text('setting-method-help')).to.match(/^Trains all weights in every step/);
    const lead = 'The built-in model learns from Moby-Dick. Full fine-tuning trains all weights';
    expect(await page.locator('#lead').innerText())
      .to.include(lead)
      .and.not.include('OwLore');
    expect(await tab.text('data-panel')).to.include('never seen');
    await page.locator('input[name=model][value=hub]').check();
    expect(await tab.text('data-panel')).to.not.include('never seen');
    // of another model the most that it allows is known when its files are read
    await page.locator('input[name=model][value=files]').check();
    await row.fill('4096');
    expect(await row.getAttribute('aria-invalid')).to.equal('false');
    await page.locator('#model-panel input[webkitdirectory]').setInputFiles(demoModel);
    await page.locator('#setting-maxLength[aria-invalid=true]').waitFor();
    expect(await tab.text('setting-maxLength-help')).to.equal('A whole number from 2 to 128.');
    expect(await tab.text('estimate-note')).to.match(/^Correct “Tokens in a row”/);
  });

  for (const [width, height] of [
    [1280, 800],
    [390, 800],
  ] as const) {
    it(`is covered by nothing, and no notice hides the end of the page, ${width} × ${height}`, async () => {
      const context = await newContext({viewport: {width, height}});
      const {page, errors} = await Tab.open(context, hosts().preview.url, 'steps=abc&foo=1&seed=7');
      const notice = page.locator('#notice');
      expect(await notice.innerText()).to.include('“steps”, “foo”');
      await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
      await page.waitForFunction(() => {
        const [end, top] = ['footer', '#notice'].map((name) => document.querySelector(name)!.getBoundingClientRect()); // prettier-ignore
        return end!.bottom <= top!.top;
      });
      await notice.getByRole('button', {name: 'Close'}).click();
      const covered = await page.evaluate(() =>
        [...document.querySelectorAll('#more .field')].flatMap((field) => {
          field.scrollIntoView({block: 'end', behavior: 'instant'});
          const {left, bottom} = field.getBoundingClientRect();
          const found = document.elementFromPoint(left + 4, bottom - 8);
          return found && field.contains(found) ? [] : [field.textContent];
        }),
      );
      expect(covered).to.eql([]);
      expect(errors).to.eql([]);
    });
  }

  it('says how the next run is started, and no more than is kept of this one', async () => {
    const {page} = tab;
    const note = page.locator('#own-note');
    const toStart = 'Choose here what the next run is of, then start it above.';
    expect(await note.textContent()).to.equal(toStart);
    const storage = page.locator('#estimate-storage');
    await storage.filter({hasText: 'Takes up to'}).waitFor();
    const [, most] = /^Takes up to ([\d.]+)\sMB of this browser’s storage, downloads included/.exec(
      (await storage.textContent())!,
    )!;
    await tab.click('start');
    await tab.isIn('ended');
    await note.filter({hasText: 'click “New run” above, and start it.'}).waitFor();
    await tab.download('download-safetensors');
    await page.locator('#download-note').filter({hasText: 'Handed'}).waitFor();
    const kept = await page.evaluate(async () => {
      const folders = [await navigator.storage.getDirectory()];
      let bytes = 0;
      for (const folder of folders) {
        const entries = folder as unknown as {values(): AsyncIterable<FileSystemHandle>};
        for await (const entry of entries.values())
          if (entry.kind === 'directory') folders.push(entry as FileSystemDirectoryHandle);
          else bytes += (await (entry as FileSystemFileHandle).getFile()).size;
      }
      return bytes;
    });
    expect(kept / 1e6).to.be.within(0.7 * Number(most), Number(most));
    await tab.click('again');
    await note.filter({hasText: toStart}).waitFor();
  });
});
