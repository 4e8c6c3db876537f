/** What axe finds in each state of the page. */
import axe, {type AxeResults} from 'axe-core';
import {expect} from 'chai';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

describe('axe finds nothing serious', () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const [width, height] of [
      [360, 740],
      [1440, 900],
    ] as const) {
      it(`at the start, in training and after, ${colorScheme}, ${width} px wide`, async () => {
        const context = await newContext({colorScheme, viewport: {width, height}});
        const tab = await Tab.open(context, hosts().preview.url, {...quick, steps: 500});
        await check(tab, 'at the start');
        await tab.click('start');
        await tab.reaches(4);
        await tab.click('pause');
        await tab.isIn('paused');
        await check(tab, 'in training');
        await tab.click('stop');
        await tab.isIn('ended');
        await check(tab, 'after');
        const wide = await tab.page.evaluate(() => document.documentElement.scrollWidth);
        expect(wide, 'nothing is wider than the page').to.be.at.most(width);
      });
    }
  }
});

async function check({page}: Tab, state: string): Promise<void> {
  for (const summary of await page.locator('details:not([open]) > summary').all()) {
    if (await summary.isVisible()) await summary.click();
  }
  await page.evaluate(axe.source);
  const {violations} = await page.evaluate<AxeResults>('axe.run()');
  const serious = violations.filter(({impact}) => impact === 'serious' || impact === 'critical');
  const words = serious.map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(' ')}`);
  expect(words, state).to.eql([]);
}
