/** What axe finds in each state of the page. */
import axe, {type AxeResults} from 'axe-core';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

const looks = (['light', 'dark'] as const).flatMap((colorScheme) => [
  {colorScheme, width: 360, height: 740},
  {colorScheme, width: 1440, height: 900},
]);

describe('axe finds nothing serious', () => {
  it('at the start, in training and after, light and dark, 360 and 1440 px wide', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, steps: 500});
    await check(tab, 'at the start');
    await tab.click('start');
    await tab.reaches(4);
    await tab.click('pause');
    await tab.isIn('paused');
    await check(tab, 'in training');
    await tab.click('stop');
    await tab.isIn('ended');
    await check(tab, 'after');
  });
});

async function check({page}: Tab, state: string): Promise<void> {
  await page.evaluate(axe.source);
  for (const {colorScheme, ...size} of looks) {
    await page.emulateMedia({colorScheme});
    await page.setViewportSize(size);
    for (const summary of await page.locator('details:not([open]) > summary').all()) {
      if (await summary.isVisible()) await summary.click();
    }
    const look = `${state}, ${colorScheme}, ${size.width} px wide`;
    const {violations} = await page.evaluate<AxeResults>('axe.run()');
    const serious = violations.filter(({impact}) => impact === 'serious' || impact === 'critical');
    const words = serious.map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(' ')}`);
    expect(words, look).to.eql([]);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(wide, `${look}: nothing is wider than the page`).to.be.at.most(size.width);
    expect(await page.evaluate(cutChoices), `${look}: no choice is cut`).to.eql([]);
  }
}

/** In the page: the fields whose longest choice has no room in them. */
function cutChoices(): string[] {
  return [...document.querySelectorAll('select')].flatMap((select) => {
    const {offsetWidth: room, style} = select;
    style.width = 'max-content';
    const isCut = select.offsetWidth > room;
    style.width = '';
    return isCut ? [select.id] : [];
  });
}
