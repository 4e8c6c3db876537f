/** Puts data and what all pages share into a template, in Node as in a browser. */

/** What a page is made of, as texts. */
export interface PageFiles {
  /** `page_head.html`: the style and the functions that all pages share. */
  pageHead: string;
  uplotStyle: string;
  uplotScript: string;
}

/**
 * The text of a page.
 *
 * @param template HTML with `<!-- pageHead -->`, which is replaced by the head with uPlot. Placeholders stand where its formatter
 *   leaves them alone.
 * @param placeholder What is replaced by `data` as JSON, in a script element of its own.
 */
export function fillPage(
  {pageHead, uplotStyle, uplotScript}: PageFiles,
  template: string,
  placeholder: string,
  data: object,
): string {
  const parts: [placeholder: string, text: string][] = [
    ['<!-- pageHead -->', pageHead],
    ['/* uplotStyle */', uplotStyle],
    ['/* uplotScript */', uplotScript],
    // The text of a script element ends at the first "</script": no "<" may stand in the data.
    [placeholder, JSON.stringify(data).replaceAll('<', '\\u003c')],
  ];
  let html = template;
  for (const [placeholder, text] of parts) html = html.replace(placeholder, () => text);
  return html;
}
