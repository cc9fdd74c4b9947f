-- Sends what is new in a study that has come to rest to raresight, but never raresight's own results. An image that
-- raresight knows already is not scored again, so a study that grows late is sent without harm.
function OnStableStudy(study, tags, metadata)
  for _, series in pairs(ParseJson(RestApiGet('/studies/' .. study .. '/series'))) do
    if series.MainDicomTags.Manufacturer ~= 'raresight' then
      SendToModality(series.ID, 'raresight')
    end
  end
end
