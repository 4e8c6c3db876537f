/** The page by keys alone: where the focus is after each press, and what is out of reach while a run trains. */
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

describe('by keys alone', () => {
  it('a run is started, paused, stopped and asked, with the focus on what comes next', async () => {
    const settings = {...quick, steps: 2000, evaluateEvery: 5000, sampleEvery: 0};
    const context = await newContext();
    // an answer takes longer than a button waits for the focus
    await context.addInitScript(() => {
      const {postMessage} = Worker.prototype;
      Worker.prototype.postMessage = function (this: Worker, message: {call?: string}) {
        setTimeout(() => postMessage.call(this, message), message.call === 'chat' ? 1500 : 0);
      };
    });
    const tab = await Tab.open(context, hosts().preview.url, settings);
    const {page} = tab;
    const press = async (id: string): Promise<void> => {
      await page.locator(`#${id}`).focus();
      await page.keyboard.press('Enter');
    };
    const isFocused = (id: string): Promise<unknown> => page.locator(`#${id}:focus`).waitFor();
    const choices = page.locator('.tabs label:has(input[value=hub])');
    const colour = (): Promise<string> =>
      choices.evaluate((label) => getComputedStyle(label).color);
    const colourBefore = await colour();
    await page.locator('#start').focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await tab.isIn('training');
    await isFocused('pause');

    expect(await choices.locator('input').isDisabled()).to.equal(true);
    expect(await colour()).not.to.equal(colourBefore);
    expect(await tab.text('own-note')).to.match(/^A run is under way: /);
    await page.keyboard.press('Enter');
    await tab.isIn('paused');
    await isFocused('resume');

    // a rate that is none is said to be wrong until it is mended, or another step has one
    const rate = page.locator('#rate');
    const isWrong = async (): Promise<void> => {
      await rate.fill('x');
      await press('rate-set');
      await isFocused('rate');
      expect(await tab.text('rate-note')).to.equal('A number from 1e-8 to 10.');
    };
    await isWrong();
    await rate.fill('0.001');
    expect(await tab.text('rate-note')).to.equal('from the next step');
    expect(await rate.getAttribute('aria-invalid')).to.equal('false');
    await isWrong();
    await page.locator('#resume').focus();
    await page.keyboard.press('Enter');
    await tab.isIn('training');
    await isFocused('pause');
    await page.waitForFunction(() => Number(document.querySelector<HTMLInputElement>('#rate')!.value) > 0); // prettier-ignore
    expect(await tab.text('rate-note')).to.equal('from the next step');
    await press('stop');
    await tab.isIn('ended');
    await isFocused('compare');
    expect(await colour()).to.equal(colourBefore);
    expect(await tab.text('own-note')).not.to.include('under way');

    await press('chat-send');
    await isFocused('chat-stop');
    await isFocused('chat-send');
    expect(await tab.text('chat-after')).to.match(/^The captain.+…$/s);

    // without words it is the browser that asks for some
    const words = page.locator('#chat-text');
    await words.fill('');
    for (const key of ['send', 'text']) {
      await press(`chat-${key}`);
      await isFocused('chat-text');
      expect(await words.evaluate((field: HTMLTextAreaElement) => field.validity.valueMissing)).to.equal(true); // prettier-ignore
    }
    expect(await tab.text('chat-after')).to.match(/^The captain.+…$/s);
    expect(tab.errors).to.eql([]);
  });

  it('what stands below the charts is reached by links, where it is not beside them', async () => {
    const context = await newContext({viewport: {width: 390, height: 800}});
    const {page, errors} = await Tab.open(context, hosts().preview.url, quick);
    const url = page.url();
    for (const [name, title] of [
      ['Your own model and data', 'own-title'],
      ['Earlier runs', 'runs-title'],
    ] as const) {
      const link = page.getByRole('link', {name});
      await link.press('Enter');
      await page.locator(`#${title}:focus`).waitFor();
      const top = await page.locator(`#${title}`).evaluate((each) => each.getBoundingClientRect().top); // prettier-ignore
      expect(top).to.be.within(0, 800);
    }
    expect(page.url()).to.equal(url);
    await page.setViewportSize({width: 1280, height: 800});
    expect(await page.locator('.jumps').isVisible()).to.equal(false);
    expect(errors).to.eql([]);
  });

  it('a run that ends takes the focus from nobody', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, quick);
    await tab.click('start');
    await tab.isIn('training');
    await tab.page.locator('#heat-cells').focus();
    await tab.isIn('ended');
    await tab.page.waitForTimeout(1000);
    expect(await tab.page.evaluate(() => document.activeElement?.id)).to.equal('heat-cells');
  });
});
