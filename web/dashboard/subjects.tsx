/** Who relayed how much in the range that the charts show. */
import { count, size } from "../shared/numbers";
import { Block, Figure, Scroll } from "./block";
import { nameOf } from "./steps";
import type { Shown } from "./watch";

export function SubjectsBlock({ shown }: { shown: Shown }) {
  const { range, bySubject } = shown;
  const rows = bySubject?.usage.map((row) => ({
    name: nameOf(row), isRest: row.overflow || row.subject == null, bytes: row.bytes_from_client + row.bytes_from_peer,
  }));
  rows?.sort((one, other) => other.bytes - one.bytes);
  const most = Math.max(1, rows?.[0]?.bytes ?? 0);
  return (
    <Block name="subjects" title="Usage by subject" command={`turnstone usage --since ${range.since}`}
      trouble={shown.troubles.bySubject} aside={<p class="muted">{range.words}</p>}>
      <Scroll label="Subjects, those with the most bytes first">
        {rows && rows.length > 0 ? (
          <table class="bars">
            <caption class="unseen">Bytes relayed by subject, both ways together, in {range.words}</caption>
            <tbody>
              {rows.map(({ name, isRest, bytes }) => (
                <tr key={`${isRest} ${name}`}>
                  <th scope="row">
                    <bdi title={name} class={isRest ? "muted" : ""}>{name}</bdi>
                    <div class="bar" aria-hidden="true"><div class="fill" style={{ width: `${(bytes / most) * 100}%` }} /></div>
                  </th>
                  <td class="figure"><Figure value={bytes} text={size(bytes)} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <p class="muted">{rows ? `Nothing was relayed in ${range.words}.` : "No answer yet."}</p>
        )}
        {bySubject && bySubject.more > 0 && <p class="muted">and {count(bySubject.more)} more</p>}
      </Scroll>
    </Block>
  );
}
